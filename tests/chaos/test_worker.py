"""`kill -9` of a worker at every place where it could lose something or do it twice."""

from __future__ import annotations

import signal

import asyncpg
import psutil
import pytest

from tests.chaos.scene import Scene
from tests.chaos.servers import Program

BESIDE_A_TRANSACTION = ["enter_stage.before", "enter_stage.committed", "act.before", "act.committed"]
ACTS = {"add_comment", "create_todo", "notify", "wait", "change_stage"}  # what has a timer of its own
IN_A_SEND = {"sending.committed": False, "sending.before_data": False, "sending.after_250": True}
"""Whether the mail server has the message when the worker dies there."""


@pytest.mark.parametrize("place", BESIDE_A_TRANSACTION)
async def test_a_worker_that_dies_beside_its_transaction_loses_nothing_and_repeats_nothing(
    scene: Scene, place: str
) -> None:
    doomed = await scene.worker(dies_at=f"{place}:4")
    records = await scene.create()
    assert await scene.death(doomed, place) > 0
    in_hand = await scene.in_hand(doomed, records)
    assert in_hand & (ACTS if place.startswith("act") else {"enter_stage"})
    moved, deleted, *_ = records
    await scene.move(moved, "lost")  # while nobody works
    await scene.delete(deleted)
    await scene.worker()
    await scene.rest()
    assert await scene.wrong() == []


@pytest.mark.parametrize("place", IN_A_SEND)
async def test_a_worker_that_dies_in_a_send_never_silently_sends_twice(scene: Scene, place: str) -> None:
    doomed = await scene.worker(dies_at=f"{place}:5")
    records = await scene.create()
    assert await scene.death(doomed, place) > 0
    assert "send_email" in await scene.in_hand(doomed, records)
    arrived = {mail.message_id for mail in scene.sink.messages}
    in_hand = await scene.sending()
    assert any((message_id in arrived) == IN_A_SEND[place] for message_id, _ in in_hand)
    await scene.move(records[0], "lost")
    await scene.worker()
    await scene.rest()
    assert await scene.wrong() == []
    # to employees it goes again under its id, for anybody else a person is asked
    fates = {row["message_id"]: row["state"] for row in await scene.rows("select * from message")}
    assert {(rule, fates[message_id]) for message_id, rule in in_hand} <= {
        ("to-client", "unknown"), ("to-colleague", "sent"), ("offer-mail", "sent"),
    }  # fmt: skip


async def test_a_relay_that_dies_before_it_marks_what_it_rang_is_heard_once(scene: Scene) -> None:
    records = await scene.create()
    for record in records[:3]:
        await scene.move(record, "offer")
    doomed = await scene.worker(dies_at="relay.rung")
    assert await scene.death(doomed, "relay.rung") > 0
    unmarked = await scene.rows("select distinct record_id from outbox")
    assert {row["record_id"] for row in unmarked} & (await scene.journeys(records)).keys()
    await scene.worker()
    await scene.rest()
    assert await scene.wrong() == []


async def test_a_worker_asked_to_end_under_load_ends_well_and_loses_nothing(scene: Scene) -> None:
    first = await scene.worker()
    await scene.create()
    await scene.under_way()
    first.send(signal.SIGTERM)
    await scene.until(lambda: not first.running, "it ends")
    assert first.process.returncode == 0, first.tail()
    assert await scene.owed() > 0
    await scene.worker()
    await scene.rest()
    assert await scene.wrong() == []


async def test_a_worker_that_freezes_in_a_transaction_and_goes_on_later_does_nothing_twice(
    scene: Scene,
) -> None:
    workers = await scene.workers(2)
    contended, *_ = await scene.create()
    zombie = await _stopped_in_a_transaction(scene, contended, workers)
    assert await scene.owed() > 0
    await scene.until(lambda: _none(scene, _IDLE), "the database takes the record away from it")
    zombie.send(signal.SIGCONT)
    await scene.rest()
    for worker in workers:
        worker.send(signal.SIGTERM)
    for worker in workers:
        await scene.until(lambda own=worker: not own.running, "it ends")
        assert worker.process.returncode == 0, worker.tail()
    assert await scene.wrong() == []


async def _stopped_in_a_transaction(scene: Scene, record: int, workers: list[Program]) -> Program:
    """Stop the worker that waits for this record, then let it have the record."""
    mine = await asyncpg.connect(scene.url)
    async with mine.transaction():
        await mine.execute("select from record where id = $1 for update", record)
        found: list[Program] = []

        async def waits() -> bool:
            ports = {row["client_port"] for row in await scene.rows(f"select client_port {_WAITING}")}
            found[:] = [worker for worker in workers if ports & _ports(worker)]
            return bool(found)

        await scene.until(waits, "a worker waits for the record")
        found[0].send(signal.SIGSTOP)
    await mine.close()
    await scene.until(lambda: _some(scene, _IDLE), "it has the record and does nothing")
    return found[0]


def _ports(worker: Program) -> set[int]:
    """From which the process speaks to PostgreSQL, among others."""
    return {connection.laddr.port for connection in psutil.Process(worker.pid).net_connections()}


async def _some(scene: Scene, query: str) -> bool:
    return await scene.count(query) > 0


async def _none(scene: Scene, query: str) -> bool:
    return await scene.count(query) == 0


_OURS = "from pg_stat_activity where datname = current_database() and application_name = 'jalon'"
_WAITING = f"{_OURS} and wait_event_type = 'Lock'"
_FROZEN = "state = 'idle in transaction' and now() - state_change > interval '1 second'"
_IDLE = f"select count(*) {_OURS} and {_FROZEN}"
