"""Row 17: a random code, unique in its series for ever."""

from __future__ import annotations

import asyncio
import re
from itertools import product
from string import digits

import pytest

from domain.errors import Refused
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save


async def taken(desk: Desk, series: str, *codes: str) -> None:
    """Codes the series has given already."""
    values = ", ".join(f"('{series}', '{code}', 1, 1, 'earlier', '{NOON.isoformat()}')" for code in codes)
    await desk.run(f"insert into code (series, code, record_id, visit_no, rule, at) values {values}")


async def test_ten_digits_and_capitals_by_default_in_a_series_of_the_rule(desk: Desk) -> None:
    deal = await desk.deal()
    done = await desk.does(deal, "generate_code", rule="coupon")
    row = await desk.row("code")
    assert re.fullmatch(r"[0-9A-Z]{10}", row["code"])
    assert done.results == {"code": row["code"]}
    assert (row["series"], row["record_id"], row["rule"]) == ("sales/coupon", deal, "coupon")


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ({"length": 24, "alphabet": ["lower"]}, r"[a-z]{24}"),
        ({"length": 1, "alphabet": ["upper"]}, r"[A-Z]"),
        ({"length": 40, "alphabet": ["digits", "symbols"]}, r"[0-9!#$%*+\-=?@_]{40}"),
        ({"pattern": "SALE-####"}, r"SALE-[0-9]{4}"),
        ({"pattern": "50%_@@#\\x"}, r"50%_[A-Z]{2}[0-9]\\x"),
    ],
)
async def test_its_shape_is_an_alphabet_and_length_or_a_pattern(
    desk: Desk, params: dict[str, object], shape: str
) -> None:
    done = await desk.does(await desk.deal(), "generate_code", **params)
    assert re.fullmatch(shape, str(done.results["code"]))


async def test_a_code_is_never_given_twice_in_its_series(desk: Desk) -> None:
    deal = await desk.deal()
    await taken(desk, "raffle", *(f"{n:02}" for n in range(100) if n % 10))  # 90 of 100
    done = await desk.does(deal, "generate_code", pattern="##", series="raffle")
    assert done.results["code"] in {f"{n:02}" for n in range(0, 100, 10)}


async def test_the_same_code_may_be_given_in_another_series(desk: Desk) -> None:
    await taken(desk, "theirs", *digits)
    await desk.does(await desk.deal(), "generate_code", pattern="#", series="ours")
    assert len(await desk.rows("code", "series = 'ours'")) == 1


async def test_when_more_than_nine_in_ten_are_taken_it_fails_with_numbers(desk: Desk) -> None:
    deal = await desk.deal()
    await taken(desk, "raffle", *(f"{n:02}" for n in range(91)))
    with pytest.raises(Refused, match="91 of 100 codes are taken") as refused:
        await desk.does(deal, "generate_code", pattern="##", series="raffle")
    assert refused.value.reason == "series_nearly_full"


async def test_codes_of_another_shape_take_no_room(desk: Desk) -> None:
    deal = await desk.deal()
    await taken(desk, "mixed", *(f"VIP-{n:02}" for n in range(100)), *(f"A_{n}" for n in range(10)))
    done = await desk.does(deal, "generate_code", pattern="AB#", series="mixed")
    assert str(done.results["code"]).startswith("AB")
    with pytest.raises(Refused, match="10 of 10"):
        await desk.does(deal, "generate_code", pattern="A_#", series="mixed")


async def test_a_large_series_is_counted_when_a_taken_code_is_met(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the series were large: every code but one is taken."""
    from activities.rules import generate_code

    monkeypatch.setattr(generate_code, "_COUNTED", 1)
    letters = [chr(ord("A") + n) for n in range(26)]
    await taken(desk, "large", *["".join(pair) for pair in product(letters, letters)][1:])
    deal = await desk.deal()
    with pytest.raises(Refused, match=r"67[56] of 676 codes are taken") as refused:
        for _ in range(2):  # the first may meet the only free one
            await desk.does(deal, "generate_code", pattern="@@", series="large")
    assert refused.value.reason == "series_nearly_full"


async def test_two_at_once_never_get_the_same(desk: Desk) -> None:
    await taken(desk, "raffle", *(f"{n:02}" for n in range(80)))
    deals = [await desk.deal() for _ in range(8)]
    done = await asyncio.gather(
        *(desk.does(deal, "generate_code", pattern="##", series="raffle") for deal in deals)
    )
    assert len({str(one.results["code"]) for one in done}) == len(deals)


async def test_it_may_be_written_to_a_field(desk: Desk) -> None:
    deal = await desk.deal()
    done = await desk.does(deal, "generate_code", rule="coupon", write_to="record.coupon")
    record = await desk.record(deal)
    assert record["fields"]["coupon"] == done.results["code"]
    assert done.changed == ("record.coupon",)
    *_, (event, rule, _, detail) = await desk.journal(deal)
    assert (event, rule, detail) == ("edited", "coupon", {"coupon": [None, done.results["code"]]})


@pytest.mark.parametrize(
    ("field", "reason"), [("score", "wrong_type"), ("gone", "unknown_field"), ("stage", "unknown_field")]
)
async def test_a_field_that_takes_it_no_more_fails_and_no_code_is_used(
    desk: Desk, field: str, reason: str
) -> None:
    deal = await desk.deal()
    with pytest.raises(Refused) as refused:
        await desk.does(deal, "generate_code", pattern="X@@", write_to=field)
    assert refused.value.reason == reason
    assert await desk.rows("code") == []


def test_what_is_refused_on_save() -> None:
    def wrong(**params: object) -> set[str]:
        return set(refused_on_save("generate_code", **params))

    assert wrong(length=0) == {"/length"}
    assert wrong(alphabet=["greek"]) == {"/alphabet/0"}
    assert wrong(alphabet=[]) == {"/alphabet"}
    assert wrong(pattern="SALE") == {"/"}, "always the same"
    assert wrong(pattern="SALE-##", length=4) == {"/"}
    assert wrong(write_to="cupon") == {"/write_to"}
    assert wrong(write_to="imported_from") == {"/write_to"}
    assert wrong(write_to="stage") == {"/write_to"}
    assert wrong(write_to="amount") == {"/write_to"}
    assert wrong(write_to="coupon", pattern="SALE-####") == set()
