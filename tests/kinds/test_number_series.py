"""Numbers of documents have no gaps and no doubles."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.number_series import pattern_problem, take, written
from activities.providers.documents import Job, NotRendered
from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.workshop import workshop_of

EVE = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("{number}", "42"),
        ("INV-{year}-{number:05}", "INV-2026-00042"),
        ("{month}/{year} {number:01}", "12/2026 42"),
        ("Größe {number}", "Größe 42"),
    ],
)
def test_a_number_is_written_by_its_pattern(pattern: str, shown: str) -> None:
    assert pattern_problem(pattern) == ""
    assert written(pattern, 42, EVE, "UTC") == shown


def test_one_with_more_digits_than_the_pattern_is_written_in_full() -> None:
    assert written("{number:02}", 12345, NOON, "UTC") == "12345"


@pytest.mark.parametrize(
    "pattern", ["INV", "{number}{number}", "{number:5}", "{number:010}", "{day}-{number}", "{number",
                "{}{number}", "{number!r}", "{number.x}"],
)  # fmt: skip
def test_a_pattern_that_says_no_number_or_says_more_is_refused(pattern: str) -> None:
    assert pattern_problem(pattern)


async def test_what_is_rolled_back_gives_its_number_back(desk: Desk) -> None:
    await desk.run(lambda tx: builders.number_series(tx, "bills", "B{number}"))
    with pytest.raises(Refused):
        async with desk.database.transaction() as tx:
            assert await take(tx, "bills", NOON) == "B1"
            raise Refused("anything", "goes wrong")
    async with desk.database.transaction() as tx:
        assert [await take(tx, "bills", NOON) for _ in range(2)] == ["B1", "B2"]
        with pytest.raises(Refused, match="no number series 'others'"):
            await take(tx, "others", NOON)


class Failing:
    """Makes documents at once, but fails three of ten; `made` are the numbers that it was given."""

    def __init__(self) -> None:
        self.asked = 0

    async def render(self, job: Job) -> bytes:
        self.asked += 1
        place = self.asked % 10
        await asyncio.sleep(0)  # the others come in between
        if place == 3:
            raise NotRendered("template_broken", "as the test wants it")
        if place == 5:
            raise RuntimeError("the worker falls over")
        if place == 8:
            raise asyncio.CancelledError
        return job.data


async def test_of_fifty_at_once_with_failures_no_number_is_missing_and_none_is_double(
    desk: Desk, tmp_path: Path
) -> None:
    workshop = await workshop_of(desk, tmp_path)
    await workshop.ruled()
    deals = [await desk.deal() for _ in range(50)]
    worker = workshop.with_renderer(Failing())
    crowd = asyncio.Semaphore(8)

    async def made(deal: int) -> object:
        async with crowd:
            return await workshop.act(deal, by=worker)

    ended = await asyncio.gather(*(asyncio.create_task(made(deal)) for deal in deals), return_exceptions=True)
    broken = [end for end in ended if isinstance(end, BaseException)]
    assert {type(end) for end in broken} == {ApplicationError}  # such an attempt is made again
    documents = await desk.rows("document", order="number")
    numbers = [row["number"] for row in documents]
    assert 30 <= len(numbers) < 50
    assert numbers == [f"OFF-2026-{n:03}" for n in range(1, len(numbers) + 1)]
    assert (await desk.row("number_series"))["next"] == len(numbers) + 1
    # and the document says the number it has
    for row in documents:
        assert f'"{row["number"]}"'.encode() in await workshop.text(row)
