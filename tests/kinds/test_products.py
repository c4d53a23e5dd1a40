"""What lines of products come to, and that they are kept with the record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from activities.sales import lines_of, totals_in
from domain.amounts import Line, net, totals
from domain.errors import Refused
from tests.kinds.births import ROOF, give
from tests.kinds.conftest import Desk


def a_line(**given: Any) -> Line:
    return Line.model_validate({"name": "Tiles", "unit_price": "10"} | given)


@pytest.mark.parametrize(
    ("given", "digits", "comes_to"),
    [
        ({"quantity": "3", "unit_price": "19.99"}, 2, "59.97"),
        ({"quantity": "1", "unit_price": "0.125"}, 2, "0.12"),  # half to even, down
        ({"quantity": "1", "unit_price": "0.135"}, 2, "0.14"),  # half to even, up
        ({"quantity": "3", "unit_price": "10", "discount": "33.3333"}, 2, "20.00"),
        ({"quantity": "1", "unit_price": "99.5"}, 0, "100"),  # a currency without minor units
        ({"quantity": "1", "unit_price": "1.2345"}, 3, "1.234"),  # one with three digits
        ({"quantity": "1", "unit_price": "-5"}, 2, "-5.00"),  # a voucher
        ({"quantity": "1", "unit_price": "10", "discount": "100"}, 2, "0.00"),
    ],
)
def test_a_line_is_rounded_half_to_even_to_the_digits_of_the_currency(
    given: dict[str, str], digits: int, comes_to: str
) -> None:
    found = net(a_line(**given), digits)
    assert (found, -found.as_tuple().exponent) == (Decimal(comes_to), digits)


def test_tax_is_reckoned_of_the_sum_of_each_rate_and_rounded_once() -> None:
    lines = [a_line(unit_price="0.33", tax_rate="19") for _ in range(3)] + [
        a_line(unit_price="1", tax_rate="7")
    ]
    # 0.99 × 19 % is 0.1881; rounded line by line it would be 3 × 0.06
    assert totals(lines, 2) == (Decimal("1.99"), Decimal("0.26"), Decimal("2.25"))


def test_no_lines_come_to_nothing() -> None:
    assert totals([], 2) == (Decimal("0.00"),) * 3


def test_the_currency_says_how_many_digits() -> None:
    lines = [a_line(unit_price="1.2345", tax_rate="10")]
    found = {currency: totals_in(lines, currency).total for currency in ("EUR", "JPY", "KWD")}
    assert found == {"EUR": Decimal("1.35"), "JPY": Decimal(1), "KWD": Decimal("1.357")}


def test_lines_that_come_to_more_than_can_be_kept_are_refused() -> None:
    line = a_line(quantity="999999999.9999", unit_price="99999999999999.9999")
    with pytest.raises(Refused) as refused:
        totals_in([line], "EUR")
    assert refused.value.reason == "amount_too_large"


@pytest.mark.parametrize(
    "given",
    [
        {"quantity": 0},
        {"discount": 101},
        {"tax_rate": -1},
        {"name": ""},
        {"unit_price": "NaN"},
        {"colour": "red"},
    ],
)
def test_a_line_that_makes_no_sense_is_none(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_line(**given)


async def test_lines_come_back_as_they_were_put_and_in_order(desk: Desk) -> None:
    deal = await desk.deal()
    await give(desk, deal, *ROOF)
    async with desk.database.transaction() as tx:
        assert await lines_of(tx, deal) == ROOF
        assert await lines_of(tx, deal + 1) == []
