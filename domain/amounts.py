"""What lines of products come to. Amounts are exact decimals in one currency; nothing is ever a float."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

_HUNDRED: Final = Decimal(100)
Percent = Annotated[Decimal, Field(ge=0, le=100, max_digits=7, decimal_places=4)]


class Line(BaseModel):
    """One line of products.

    `unit_price` is before tax, and may be negative as for a voucher; `discount`, `tax_rate` are in percent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Annotated[str, Field(max_length=100)] = ""
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    quantity: Annotated[Decimal, Field(gt=0, lt=10**9, max_digits=18, decimal_places=4)] = Decimal(1)
    unit_price: Annotated[Decimal, Field(gt=-(10**14), lt=10**14, max_digits=18, decimal_places=4)]
    discount: Percent = Decimal(0)
    tax_rate: Percent = Decimal(0)


class Totals(NamedTuple):
    """`total` is `net` and `tax` together."""

    net: Decimal
    tax: Decimal
    total: Decimal


def net(line: Line, digits: int) -> Decimal:
    """What a line comes to before tax, rounded half to even to the currency's `digits`."""
    return _rounded(line.quantity * line.unit_price * (1 - line.discount / _HUNDRED), digits)


def totals(lines: Iterable[Line], digits: int) -> Totals:
    """The sums of all lines.

    Lines are rounded first; tax is reckoned of the sum of each rate, and rounded once, as EN 16931 has it
    (BR-CO-17), so that what is shown adds up.
    """
    nets: dict[Decimal, Decimal] = {}
    for line in lines:
        nets[line.tax_rate] = nets.get(line.tax_rate, Decimal(0)) + net(line, digits)
    before = sum(nets.values(), _rounded(Decimal(0), digits))
    taxes = (_rounded(base * rate / _HUNDRED, digits) for rate, base in nets.items())
    tax = sum(taxes, _rounded(Decimal(0), digits))
    return Totals(before, tax, before + tax)


def _rounded(amount: Decimal, digits: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
