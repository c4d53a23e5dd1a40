"""Products of a record, and the quotes and invoices made of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from babel.numbers import get_currency_precision
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import BigInteger, bindparam, text

from activities import number_series
from activities.act import Act
from db.engine import Transaction
from db.rows import Rows
from domain.amounts import Line, Totals, totals
from domain.errors import Refused

Paper = Literal["quote", "invoice"]
SERIES: Final[dict[Paper, str]] = {"quote": "quotes", "invoice": "invoices"}
"""From which they are numbered unless something else is said; made when the first number is taken."""
_PATTERNS: Final = {"quotes": "Q-{year}-{number:05}", "invoices": "INV-{year}-{number:05}"}
_LINES: Final = TypeAdapter(list[Line])
_MOST: Final = Decimal(10) ** 14  # what a column of money holds


class Sold(NamedTuple):
    """What is sold on a record: its lines, and what they come to in the record's currency."""

    lines: list[Line]
    totals: Totals


class Numbered(BaseModel):
    """A quote or an invoice that was made."""

    id: int
    number: str


def totals_in(lines: Sequence[Line], currency: str) -> Totals:
    """What lines come to, rounded to the digits of the currency (ISO 4217)."""
    found = totals(lines, get_currency_precision(currency))
    if abs(found.total) >= _MOST or abs(found.net) >= _MOST:
        raise Refused("amount_too_large", "the lines come to more than 14 digits before the point")
    return found


async def lines_of(tx: Transaction, record_id: int) -> list[Line]:
    """The lines of a record, in order."""
    return _LINES.validate_json((await tx.execute(_READ, {"id": record_id})).scalar_one())


def line_rows(record_id: int, lines: Sequence[Line]) -> Rows:
    """The rows of the lines of a record that has none."""
    own = ({"record_id": record_id, "position": place} for place in range(1, len(lines) + 1))
    return Rows("product_line", [row | line.model_dump() for row, line in zip(own, lines, strict=True)])


async def sold(act: Act) -> Sold:
    """What a quote or an invoice is to say: the products, or the amount of a record that has none.

    Raises `Refused` where there is neither.
    """
    lines = await lines_of(act.tx, act.record.id)
    if lines:
        return Sold(lines, totals_in(lines, act.record.currency))
    if act.record.amount is None:
        raise Refused("nothing_sold", "the deal has neither products nor an amount")
    only = Line(name=act.record.title, unit_price=act.record.amount)
    return Sold([only], totals_in([only], act.record.currency))


async def paper(
    act: Act, kind: Paper, series: str, what: Sold, responsible: str | None
) -> tuple[Numbered, Rows]:
    """Number a quote or an invoice; answers it with the row that is to be written."""
    made = Numbered(id=await act.id_for("sales_document"), number=await _number(act, series))
    row = {
        "id": made.id, "kind": kind, "number": made.number, "series": series,
        "contact_id": act.record.contact_id, "company_id": act.record.company_id,
        "responsible_id": responsible, "currency": act.record.currency, **what.totals._asdict(),
        "lines": [line.model_dump(mode="json") for line in what.lines], "created_at": act.now,
    }  # fmt: skip
    return made, act.rows("sales_document", row)


async def _number(act: Act, series: str) -> str:
    try:
        return await number_series.take(act.tx, series, act.now, act.locked.zone)
    except Refused:
        if series not in _PATTERNS:
            raise
    await act.tx.execute(_MAKE_SERIES, {"series": series, "pattern": _PATTERNS[series]})
    return await number_series.take(act.tx, series, act.now, act.locked.zone)


_READ = text("""
select coalesce(jsonb_agg(jsonb_build_object(
  'sku', sku, 'name', name, 'quantity', quantity::text, 'unit_price', unit_price::text,
  'discount', discount::text, 'tax_rate', tax_rate::text) order by position), '[]')::text
from product_line where record_id = :id
""").bindparams(bindparam("id", type_=BigInteger))
_MAKE_SERIES = text("""
insert into number_series (id, pattern) values (:series, :pattern) on conflict (id) do nothing
""")
