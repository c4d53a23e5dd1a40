"""A wait: what happens when its time is out, and when the client was quicker."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.acting import Raised, called
from activities.catalogue import effects
from activities.hold_rows import claim, say
from activities.runner import Run, Runner
from activities.strikes import in_words
from db.facts import HoldRow
from db.journal import end_holds
from db.records import By, TooManyMoves, move, suspend_for_loop
from domain.errors import Refused
from domain.events import HoldEnd, Outcome
from domain.holds.wait import Follow, MoveTo, Wait


def brings(follow: Follow) -> bool:
    """Whether the end of a wait brings a notice or a to-do."""
    return follow in ("notify", "todo")


async def follow_end(runner: Runner, run: Run, params: Wait, follow: Follow, at: datetime) -> None:
    """The notice or to-do that the end of a wait brings, as the effect `notify` or `create_todo`."""
    if not brings(follow):
        return
    rule = (await runner.locked.rules(run.visit_no)).rule(run.rule)
    said = "The wait is over: " + (params.instruction or rule.title or rule.id)
    act = Act(runner.locked, run.visit_no, rule, run.n, at, runner.ids)
    kind, params_of = ("notify", {"text": said}) if follow == "notify" else ("create_todo", {"subject": said})
    effect = effects()[kind].model_validate(params_of)
    try:
        done = await called(runner, effect, effect.apply(act))
    except (Refused, Raised) as refused:  # the wait ends all the same; whoever owns the rules has to know
        why = refused.message if isinstance(refused, Refused) else in_words(refused.error)
        say(runner, run, "not_told", at, {"error": why})
        if owner := await runner.owner(run.visit_no):
            runner.add(
                runner.notice(
                    run, owner, f"The end of the wait {run.rule!r} could not be told: {why}", at
                )
            )
        return
    runner.add(*done.rows)
    claim(runner, run, Outcome(result="done", at=at))


async def time_out(runner: Runner, run: Run, row: HoldRow, params: Wait) -> Outcome:
    """The time of a wait is out; early, it goes on."""
    if row.due_at is None or runner.now < row.due_at:
        return Outcome(result="open", due=row.due_at, at=runner.now)
    locked, at = runner.locked, runner.on_time(row.due_at)
    end = HoldEnd(rule=run.rule, result="done", reason="time", at=at)
    follow = params.on_timeout
    if isinstance(follow, MoveTo) and follow.move_to != locked.record.stage_id:
        return await _move_on(runner, run, end, follow.move_to)
    await follow_end(runner, run, params, follow, at)
    await runner.flush()
    runner.add(*await end_holds(locked, run.visit_no, [end], "time"))
    return Outcome(result="done", reason="time", at=at)


async def _move_on(runner: Runner, run: Run, end: HoldEnd, stage: str) -> Outcome:
    """The time of a wait is out and moves the record; what the loop guard stops stays open."""
    locked = runner.locked
    rule = (await locked.rules(run.visit_no)).rule(run.rule)
    by = By(
        Act(locked, run.visit_no, rule, run.n, end.at, runner.ids).author,
        end.at,
        automatic=True,
        rule=run.rule,
    )
    await runner.flush()
    try:
        await move(locked, stage, by, [end], "time")
    except TooManyMoves as many:
        runner.add(*await suspend_for_loop(locked, runner.now, str(many), await runner.owner(run.visit_no)))
        return Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
    except Refused as refused:  # the stage is gone since: the wait ends, the owner is told
        runner.add(*await end_holds(locked, run.visit_no, [end], "time"))
        say(runner, run, "not_moved", end.at, {"error": refused.message})
        if owner := await runner.owner(run.visit_no):
            runner.add(
                runner.notice(
                    run, owner, f"The wait {run.rule!r} could not move the record: {refused}", end.at
                )
            )
        return Outcome(result="done", reason="time", at=end.at)
    locked.ledger[run.visit_no, run.rule, 0].moved_to = locked.record.visit_no
    return Outcome(result="done", reason="time", at=end.at, moved_to=locked.record.visit_no)


_HEARD = text("""
select type, at from client_activity
where at > :after and received_at > :after
  and (record_id = :id or contact_id = :contact or company_id = :company)
order by at
""").bindparams(
    bindparam("id", type_=BigInteger), bindparam("contact", type_=BigInteger),
    bindparam("company", type_=BigInteger), bindparam("after", type_=DateTime(timezone=True)),
)  # fmt: skip


async def heard_meanwhile(runner: Runner, row: HoldRow, params: Wait) -> str:
    """The type of a client's activity between the time the wait was due to open and its opening.

    An opening on time is booked at the time it was due, and still comes after what is recorded by then. What
    moved the record here was received when the stage was entered, and is no such activity.
    """
    record = runner.locked.record
    asked = {"id": record.id, "contact": record.contact_id, "company": record.company_id}
    found = await runner.locked.tx.execute(_HEARD, asked | {"after": row.turn})
    return next((heard.type for heard in found if params.ended_by(heard.type)), "")


async def ended_by_client(runner: Runner, run: Run, row: HoldRow, params: Wait, heard: str) -> Outcome:
    """The client was quicker than the opening. A move of `on_client` is one of that time, and is not made."""
    await runner.flush()
    end = HoldEnd(rule=run.rule, result="done", reason="client", at=row.opened_at)
    runner.add(*await end_holds(runner.locked, run.visit_no, [end], f"client:{heard}"))
    if isinstance(params.on_client, MoveTo):
        say(runner, run, "not_moved", row.opened_at, {"heard": heard, "stage": params.on_client.move_to})
    await follow_end(runner, run._replace(n=1), params, params.on_client, row.opened_at)
    return Outcome(result="done", reason="client", at=row.opened_at)
