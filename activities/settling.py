"""What a step that sends ends as, by what came of its messages; each of them is settled by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, text

from activities.effect import Done
from activities.handing_over import BROKE_OFF, Came
from activities.messages import BY_PROVIDER, NO_ADDRESS, UNREACHABLE, Message, keep, results
from activities.providers.mail import Ambiguous, Delivery, NotSent, Reply
from activities.providers.sms import Taken
from activities.runner import Run, Runner
from db.journal import line
from db.locked import Locked
from db.rows import Rows
from domain.conditions import Verdict
from domain.events import Outcome
from domain.rule import Rule

MAY_HAVE_ARRIVED: Final = "an earlier attempt may have brought it through"
_SHOWN: Final = 20  # messages of which an error tells


class StillUnderWay(NamedTuple):
    """Nothing is known for good, some may have arrived, and it is tried again after the `pause`."""

    pause: timedelta


class Attempt(NamedTuple):
    """Messages of an act, of which some are committed as `sending` and are to be handed over now.

    `at`: when the act is booked. `taken_up`: an earlier attempt broke off.
    """

    run: Run
    rule: Rule
    messages: list[Message]
    at: datetime
    verdict: Verdict | None = None
    taken_up: bool = False

    @property
    def under_way(self) -> list[Message]:
        return [message for message in self.messages if message.state == "sending"]

    @property
    def number(self) -> int:
        """Which attempt it is."""
        return max(message.attempts for message in self.messages)

    def in_time(self, now: datetime) -> bool:
        """Whether it is still to be tried."""
        return now - self.messages[0].created_at < self.rule.retry_for.span

    def may_repeat(self, message: Message, now: datetime) -> bool:
        """Whether it may be sent again though it may have arrived."""
        return self.rule.on_unknown == "send_again" and message.to_employees and self.in_time(now)

    def again(self, now: datetime) -> dict[str, bool]:
        """The messages whose fate is unknown, by id, and whether they may be sent once more."""
        return {m.message_id: self.may_repeat(m, now) for m in self.under_way} if self.taken_up else {}

    @property
    def doubted(self) -> bool:
        """Whether some of it may have arrived: then the step may end as nothing but `done` or `unknown`."""
        return any(message.unsure or message.state == "unknown" for message in self.messages)

    def later(self, now: datetime, after: timedelta = timedelta(0)) -> Outcome | StillUnderWay:
        """It is tried again, not before `after`, the last time when `retry_for` is over.

        A step that is pending may be ended by others, as what has not acted; one that is doubted never is.
        """
        pause = max(after, *(message.delay for message in self.messages))
        due = min(now + pause, self.messages[0].created_at + self.rule.retry_for.span)
        if self.doubted:
            return StillUnderWay(max(due - now, timedelta(0)))
        return Outcome(result="pending", waiting="retry", due=due, at=now)


async def take_up(runner: Runner, attempt: Attempt) -> Attempt | Outcome:
    """An attempt broke off, and nobody knows how far it came."""
    lost = attempt.under_way
    told = any(message.error for message in lost)  # by an attempt that got no answer and could say so
    repeats = False
    for message in lost:
        message.doubt()
        repeats = repeats or attempt.may_repeat(message, runner.now)
        if message.channel == "email" and not repeats:  # no mail server can be asked
            message.state, message.error = "unknown", message.error or BROKE_OFF
            await keep(runner.locked.tx, message)
            return await _park(runner, attempt, message.error)
        message.attempts, message.error = message.attempts + 1, ""
        await keep(runner.locked.tx, message)
    if repeats and not told:
        runner.add(_retry(runner, attempt, BROKE_OFF, runner.now))
    return attempt


async def settle(runner: Runner, attempt: Attempt, came: Mapping[str, Came]) -> Outcome | StillUnderWay:
    """Write down what came of the messages under way; what the step is then."""
    in_time = attempt.in_time(runner.now)
    for message in attempt.under_way:
        _judge(message, came[message.message_id], attempt.may_repeat(message, runner.now), in_time)
        is_through = message.accepted and not message.left
        over = message.state == "unknown" or (message.state == "failed" and not in_time)
        sent_at = attempt.at if message.accepted and (is_through or over) else None
        await keep(runner.locked.tx, message, sent_at)
    again = attempt.under_way
    if again:
        pause = max(message.delay for message in again)
        runner.add(_retry(runner, attempt, _errors(again), runner.now + pause))
        return StillUnderWay(pause)
    return await _ended(runner, attempt, came)


def _judge(message: Message, came: Came, may_repeat: bool, in_time: bool) -> None:
    """What a message is now. What may have arrived is `unknown`, unless it is known better."""
    error, final = "", isinstance(came, NotSent) and not came.temporary
    match came:
        case Ambiguous() if not message.provider_id:
            message.doubt()
            message.state = "sending" if may_repeat else "unknown"
            message.error = message.told(came.message)
            return
        case Ambiguous():  # reported by the provider meanwhile
            message.accepted = message.recipients
        case Taken():
            message.provider_id, message.accepted = came.provider_id, message.recipients
        case NotSent() if message.channel == "sms" and not came.temporary:
            message.refused[message.recipients[0]] = Reply(BY_PROVIDER, came.message)
        case NotSent():
            error = message.told(came.message)
        case Delivery():
            message.accepted += came.accepted
            before = {a: reply for a, reply in message.refused.items() if a not in came.accepted}
            message.refused = before | came.refused
    message.state = "failed" if error or message.left or message.refused else "sent"
    message.error = "; ".join(filter(None, [error, *message.problems()]))
    if message.unsure and not (message.left and in_time and not final):  # it is not tried again
        message.state, message.error = "unknown", "; ".join(filter(None, [message.error, MAY_HAVE_ARRIVED]))


# -- endings -----------------------------------------------------------------------------------------
async def _ended(runner: Runner, attempt: Attempt, came: Mapping[str, Came]) -> Outcome | StillUnderWay:
    """Nothing is under way any more: it is tried again later, or over."""
    messages, error = attempt.messages, _errors(attempt.messages)
    final = {key for key, one in came.items() if isinstance(one, NotSent) and not one.temporary}
    waiting = [m for m in messages if m.state == "failed" and m.left and m.message_id not in final]
    if waiting and attempt.in_time(runner.now):
        after = [one.after for one in came.values() if isinstance(one, NotSent) and one.after]
        later = attempt.later(runner.now, max(after, default=timedelta(0)))
        if isinstance(later, StillUnderWay):
            runner.add(_retry(runner, attempt, error, runner.now + later.pause))
            return later
        await _give_back(runner.locked, attempt.run)
        runner.add(_retry(runner, attempt, error, later.due))
        return later
    if any(message.state == "unknown" for message in messages):
        return await _park(runner, attempt, error)
    if waiting:
        return await _fail(runner, attempt, "retry_for", error)
    refused = [reply for message in messages for reply in message.refused.values()]
    if final or any(reply.code != NO_ADDRESS for reply in refused):
        return await _fail(runner, attempt, "refused", error)
    if refused:
        return await _fail(runner, attempt, UNREACHABLE[messages[0].channel][0], error)
    return await _done(runner, attempt)


async def _done(runner: Runner, attempt: Attempt) -> Outcome:
    await _give_back(runner.locked, attempt.run)
    outcome, found = Outcome(result="done", at=attempt.at), Done(results(attempt.messages))
    who = attempt.rule.acting
    actor = runner.locked.record.responsible_id if who == "responsible" else who
    return runner.end(attempt.run, outcome, found, verdict=attempt.verdict, actor=actor or "system")


async def _fail(runner: Runner, attempt: Attempt, reason: str, error: str) -> Outcome:
    """It failed for good, though perhaps not for everybody."""
    outcome = Outcome(result="failed", reason=reason, at=attempt.at)
    return await _ended_badly(runner, attempt, outcome, f"failed: {error}", error)


async def _park(runner: Runner, attempt: Attempt, error: str) -> Outcome:
    """Nobody knows whether it arrived; an operator has to say."""
    outcome = Outcome(result="unknown", at=attempt.at)
    return await _ended_badly(runner, attempt, outcome, f"may have sent its message, or not: {error}", error)


async def _ended_badly(runner: Runner, attempt: Attempt, outcome: Outcome, told: str, error: str) -> Outcome:
    """The results list who got it all the same; the owner of the rule set is told."""
    run, title = attempt.run, runner.locked.record.title
    await _give_back(runner.locked, run)
    runner.end(run, outcome, Done(results(attempt.messages)), error=error, verdict=attempt.verdict)
    if owner := await runner.owner(run.visit_no):
        runner.add(runner.notice(run, owner, f"Rule {run.rule!r} of {title!r} {told}", outcome.at))
    return outcome


async def give_up(runner: Runner, attempt: Attempt, refused: Outcome, why: str) -> Outcome:
    """It is not tried again. What may have arrived is `unknown`, whatever the step would end as else."""
    for message in attempt.messages:
        if message.state == "sending":
            message.doubt()
        if message.unsure and message.state != "unknown":
            message.state, message.error = "unknown", "; ".join(filter(None, [message.error, why]))
            await keep(runner.locked.tx, message, attempt.at if message.accepted else None)
    if attempt.doubted:
        return await _park(runner, attempt, _errors(attempt.messages))
    await _give_back(runner.locked, attempt.run)
    if refused.result == "failed":
        return await runner.fail(attempt.run, refused.at, refused.reason, why, attempt.verdict)
    return runner.end(attempt.run, refused, error=why, verdict=attempt.verdict)


def _errors(messages: list[Message]) -> str:
    told = [message.error for message in messages if message.error]
    more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return "; ".join(told[:_SHOWN] + more)


def _retry(runner: Runner, attempt: Attempt, error: str, due: datetime | None) -> Rows:
    """The line of the journal that says that it is tried again, why, and when."""
    detail: dict[str, object] = {"error": error, "attempt": attempt.number, "due": due}
    if attempt.verdict:
        detail["condition"] = attempt.verdict.model_dump(mode="json")
    run, record_id = attempt.run, runner.locked.record.id
    return line(record_id, run.visit_no, "retry", runner.now, rule=run.rule, n=run.n, detail=detail)


# -- the key -----------------------------------------------------------------------------------------
async def _give_back(locked: Locked, run: Run) -> None:
    """The key is free: for the next attempt, or for the outcome."""
    locked.ledger.pop((run.visit_no, run.rule, run.n), None)
    await locked.tx.execute(_GIVE_BACK, key_of(locked, run))


def key_of(locked: Locked, run: Run) -> dict[str, object]:
    """The key of an act, as statements take it."""
    return {"id": locked.record.id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n}


_GIVE_BACK = text("""
delete from ledger
where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n and outcome = ''
""").bindparams(bindparam("id", type_=BigInteger))
