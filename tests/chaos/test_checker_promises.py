"""The checker finds every promise that is broken: suspension, lateness, loops, the bin, healing, answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.chaos.checker_world import Journey, Log
from tests.chaos.crowd import Crowd, hire
from tests.chaos.scene import Scene
from tests.chaos.stairs import found_stairs
from tests.chaos.test_checker import again, judged

DEAD = "(select id from record where deleted_at is not null)"
ALIVE = "(select min(id) from record where deleted_at is null)"
LATE = "(select record_id from hold where reason = 'resolved_late' limit 1)"
RESUMED = "(select record_id from journal where event = 'resume' limit 1)"
DURING = f"""
  update journal set detail = detail where record_id = {RESUMED} and event = 'resume'
"""
"""Now the resume is what was committed last, and whatever came after the suspension came during it."""

DAMAGES = {
    "a bell that was never rung": ("I11", f"""
        insert into outbox (id, record_id, kind, created_at)
        values (gen_random_uuid(), {ALIVE}, 'entered', now())"""),
    "a visit that nobody opened": ("I11", f"update record set journey_visit = 0 where id = {ALIVE}"),
    "a journey ahead of its record": (
        "I11", f"update record set journey_visit = visit_no + 1 where id = {ALIVE}"
    ),
    "a step pending on a record that nothing suspends": (
        "I1", f"delete from ledger where record_id = {ALIVE} and visit_no = 1 and rule = 'hello'"
    ),
    "two bookings of one thing at a time": ("I9", """
        alter table booking_resource drop constraint ex_booking_resource_overlap;
        update booking_resource set active = true, during = '[2020-01-01,2040-01-01)';
        update booking set state = 'active'"""),
    "a booking that is released and takes its thing": ("I9", "update booking set state = 'cancelled'"),
    "a booking of a record in the bin": (
        "I12", f"update booking set state = 'active', ends_at = booked_until where record_id = {DEAD}"
    ),
    "a meeting of a record in the bin": (
        "I12", f"update meeting set state = 'planned' where record_id = {DEAD}"
    ),
    "a guest who comes in vain": ("I12", "delete from invitation where method = 'CANCEL'"),
    "a to-do of a record in the bin": (
        "I12", f"update todo set completed_at = null where record_id = {DEAD}"
    ),
    "a task of a record in the bin": (
        "I12", f"update task set ended_how = '', ended_at = null where record_id = {DEAD}"
    ),
    "a step of a record in the bin that is still waited for": (
        "I12", f"update hold set outcome = '', ended_at = null where record_id = {DEAD}"
    ),
    "a comment of a visit before a deletion, though the record is back": ("I12", again("comment", """
        rule = 'hello' and visit_no = 1
        and record_id = (select record_id from journal where event = 'restored')""")),
    "an act while the record was suspended": ("I16", DURING),
    "a message begun while the record was suspended": ("I16 message begun", f"""
        {DURING};
        update message set created_at = (
          select pg_xact_commit_timestamp(xmin) + interval '1 microsecond' from journal
          where event = 'suspend' and record_id = {RESUMED}) where record_id = {RESUMED}"""),
    "a record that stays late": ("I17", f"update record set late = true where id = {LATE}"),
    "a control that is late, and the record is not": ("I17", """
        update hold set outcome = '', ended_at = null where reason = 'resolved_late'"""),
    "a lateness without a line": ("I17", "delete from journal where event = 'late'"),
    "a lateness that was none": ("I17", "update hold set late_since = null where reason = 'resolved_late'"),
    "a control resolved late in time": (
        "I17", "update hold set reason = 'resolved' where reason = 'resolved_late'"
    ),
    "the eleventh automatic move within an hour": ("I18", f"""
        insert into visit (record_id, visit_no, pipeline_id, stage_id, cause, automatic, actor, entered_at)
        select {ALIVE}, n, 'stairs', 'new', 'moved', true, 'system', now() + n * interval '1 minute'
        from generate_series(100, 110) n"""),
    "a healing that nobody wrote down": ("I19", f"""
        insert into healing (reason, record_id, at) values ('ended', {ALIVE}, now())"""),
    "all journeys begun anew, and nobody told": (
        "I19", "insert into healing (reason, records, at) values ('temporal_lost', 3, now())"
    ),
    "an edit that was acknowledged and is not in history": (
        "I7", "delete from journal where event = 'edited'"
    ),
    "an operation that was acknowledged and is not in the journal": (
        "I7", "delete from journal where event = 'suspend'"
    ),
    "a client activity that was acknowledged and lost": ("I7", "delete from client_activity"),
    "a call that was made again and did it again": ("I7", """
        create temp table c as select * from journal where event = 'edited';
        update c set id = id + 1000000;
        insert into journal select * from c"""),
    "a message whose step says something else": (
        "I5", "update message set state = 'failed' where rule = 'to-colleague'"
    ),
    "a message that is under way for ever": (
        "I5", "update message set state = 'sending' where rule = 'to-colleague'"
    ),
    "an automatic move after no trigger": ("I3", "delete from firing"),
}  # fmt: skip
SEEN: dict[str, Callable[[Log], Log]] = {
    "a record whose journey has ended": lambda log: _standing(log, Journey(runs=False)),
    "a journey whose task is tried again and again": lambda log: _standing(log, Journey(True, attempts=5)),
    "a journey that runs though its record is in the bin": lambda log: _standing(log, Journey(runs=True)),
    "a workflow task that failed": lambda log: replace(log, failed_tasks=["Failing workflow task"]),
}
"""What stands in no database."""


def _standing(log: Log, all_of_them: Journey) -> Log:
    return replace(log, journeys=dict.fromkeys(log.journeys or {}, all_of_them))


async def test_every_broken_promise_is_found_and_a_good_end_is_good(scene: Scene) -> None:
    crowd = await _good_end(scene)
    try:
        await scene.rest()
        log = crowd.log
        assert await scene.wrong(log) == []  # which also says in it how the journeys are
        mails = [(mail.message_id, mail.content) for mail in scene.sink.messages]
    finally:
        await crowd.close()
    await scene.close()
    assert await judged(scene, "", mails, log) == []
    missed = {}
    for damage, (invariant, statements) in DAMAGES.items():
        found = await judged(scene, statements, mails, log)
        if not any(said.startswith(f"{invariant} ") for said in found):
            missed[damage] = found
    for damage, seen in SEEN.items():
        found = await judged(scene, "", mails, seen(log))
        if not any(said.startswith("I11 ") for said in found):
            missed[damage] = found
    assert missed == {}


async def test_what_a_suspension_holds_back_is_not_called_lost(scene: Scene) -> None:
    crowd = await _at_work(scene)
    try:
        await crowd.create()
        (record,) = crowd.records
        await scene.until(lambda: _said(scene, record, "hello"), "it has said hello")
        await crowd.operate(record, "suspend")
        await crowd.edit(record, hot=True)
        held = "select count(*) from ledger where record_id = $1 and rule = 'picky'"
        await scene.rest()
        assert await scene.count(held, record) == 0
        assert await scene.wrong(crowd.log) == []
        await scene.close()
        resumed = await judged(scene, "delete from suspension", [], crowd.log)
        assert any(said.startswith("I1 has no outcome") for said in resumed)
    finally:
        await crowd.close()


async def _at_work(scene: Scene) -> Crowd:
    """A worker, an API, and who calls it."""
    async with scene.database.transaction() as tx:
        await found_stairs(tx)
    async with scene.connection() as connection:
        await hire(connection)
    await scene.worker()
    _, address = await scene.api()
    return Crowd([address], scene.client, random.Random(1))


async def _good_end(scene: Scene) -> Crowd:
    """Five deals: one won late, one in the bin, one back from it, one that was suspended, one that paid."""
    crowd = await _at_work(scene)
    for _ in range(5):
        await crowd.create()
    late, dead, back, held, paid = crowd.records
    for record in (late, dead, back):
        await scene.until(lambda r=record: _said(scene, r, "hello"), "it has said hello")
        await crowd.move(record, "offer")
    await crowd.operate(held, "suspend")
    await crowd.calls(held)
    await crowd.pays(paid)
    watched = "select count(*) from hold where rule = 'watch' and late_since is not null"
    await scene.until(lambda: _three(scene, watched), "their controls are late")
    invited = "select count(*) from invitation where state = 'sent'"
    await scene.until(lambda: _three(scene, invited), "their guests are invited")
    for record in (dead, back):
        await crowd.delete(record)
    await crowd.restore(back)
    await crowd.operate(held, "resume")
    for record in (late, back, held, paid):
        await crowd.edit(record, hot=True)
    return crowd


async def _said(scene: Scene, record: int, rule: str) -> bool:
    said = "select count(*) from comment where record_id = $1 and rule = $2"
    return await scene.count(said, record, rule) > 0


async def _three(scene: Scene, query: str) -> bool:
    return await scene.count(query) >= 3
