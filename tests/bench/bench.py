"""Runs bare Temporal and the product in turns on one ground."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from tests.bench import company
from tests.bench.ground import Ground, ground
from tests.bench.report import COLUMNS, Results
from tests.bench.subjects import DELAY, Bare, Product, Subject, size, size_of_operation
from tests.bench.windows import Window, window

BARE = {"bare1": (1, 0.0), "bare10": (10, 0.0), "bare-late": (1, DELAY)}
CASES = (*BARE, *company.HOW_MANY)
ALONE = ("bare1", "one")
"""Also run with one in flight, for the latency."""


class Options(NamedTuple):
    """`seconds` of a window; `waiting` journeys for the memory of a worker, 0: not measured."""

    rounds: int = 3
    seconds: float = 3
    cases: Sequence[str] = CASES
    in_flight: int = 20
    waiting: int = 1000

    @property
    def records(self) -> int:
        """Of each case: twice those in flight, so that one is at rest before its next turn."""
        return 2 * self.in_flight


async def run(options: Options) -> Results:
    results = Results(waiting=options.waiting)
    async with ground() as on:
        async with on.database.transaction() as tx:
            contact = await company.found(tx)
        subjects = await _subjects(on, options.cases, contact)
        for subject in subjects:
            await subject.open(options.records + 1)  # one for the size of its history
            results.sizes[subject.name] = await size_of_operation(subject, options.records)
            await window(on, subject, options.in_flight, options.records, 0.5)  # warm
        for number in range(options.rounds):
            results.rounds.append({})
            for subject in subjects[:: -1 if number % 2 else 1]:
                for in_flight in (options.in_flight, 1) if subject.name in ALONE else (options.in_flight,):
                    name = subject.name if in_flight > 1 else f"{subject.name}@1"
                    ran = await window(on, subject, in_flight, options.records, options.seconds)
                    results.rounds[-1][name] = ran
                    _progress(number, name, ran)
        if options.waiting:
            await _waiting(on, contact, options.waiting, results)
    return results


async def _subjects(on: Ground, cases: Sequence[str], contact: int) -> list[Subject]:
    """One worker of each sort; every case has records of its own."""
    bare = await on.worker("tests.bench.bare", "bare") if set(cases) & set(BARE) else 0
    ours = await on.worker("tests.bench.worker", "product") if set(cases) - set(BARE) else 0
    return [
        Bare(on, c, bare, "bare", *BARE[c]) if c in BARE else Product(on, c, ours, "product", contact)
        for c in cases
    ]


async def _waiting(on: Ground, contact: int, waiting: int, results: Results) -> None:
    """Journeys that have a month to wait, on a worker of their own."""
    worker = await on.worker("tests.bench.worker", "waiting")
    idle = Product(on, "idle", worker, "waiting", contact, "idle")
    await idle.open(waiting)
    results.idle = await size(idle.handle(waiting - 1))
    results.megabytes = psutil.Process(worker).memory_info().rss / 1e6


def _progress(number: int, name: str, ran: Window) -> None:
    said = " ".join(f"{column} {of(ran):.1f}" for column, of in COLUMNS.items())
    print(f"round {number + 1} {name}: {said}", file=sys.stderr, flush=True)
