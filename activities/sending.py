"""One send: committed as `sending`, handed over with no transaction open, then settled.

Whoever finds a message `sending` knows that an attempt broke off and that its fate is unknown. What goes to
employees only may be sent again, under the same Message-ID; anything else is parked for an operator.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.exceptions import ApplicationError

from activities.act import Act
from activities.effect import Done, Sending
from activities.follow import due_below
from activities.messages import NO_ADDRESS, Message, keep, new_message, read
from activities.providers.mail import Ambiguous, Delivery, Mail, NotSent
from activities.runner import House, Run, Runner, effect_of
from db.engine import Database, Transaction
from db.facts import LedgerRow
from db.fail_points import fail_point
from db.journal import book, key, line
from db.locked import Locked
from db.rows import Ids, Rows, write
from db.rulebook import Rulebook
from domain.conditions import Verdict
from domain.errors import Refused
from domain.events import Outcome
from domain.journey import RuleRun
from domain.rule import Rule

_PAUSES: Final = (0.2, 1.0, 5.0)  # seconds, while the database cannot be told what the mail server said

Came = Delivery | NotSent | Ambiguous
"""What came of handing a message over."""


class _Attempt(NamedTuple):
    """A message that is committed as `sending` and is to be handed over now; `at`: when the act is booked."""

    run: Run
    rule: Rule
    message: Message
    at: datetime
    verdict: Verdict | None = None

    def in_time(self, now: datetime) -> bool:
        """Whether it is still to be tried."""
        return now - self.message.created_at < self.rule.retry_for.span

    def may_repeat(self, now: datetime) -> bool:
        """Whether it may be sent again though it may have arrived."""
        return self.rule.on_unknown == "send_again" and self.message.to_employees and self.in_time(now)

    def pending(self, now: datetime) -> Outcome:
        """It is tried again, the last time when `retry_for` is over."""
        due = min(now + self.message.delay, self.message.created_at + self.rule.retry_for.span)
        return Outcome(result="pending", waiting="retry", due=due, at=now)


class Sender:
    """Sends what rules of a sending kind compose. One object a process."""

    def __init__(self, database: Database, book: Rulebook, ids: Ids, house: House, mail: Mail) -> None:
        self._database, self._book, self._ids, self._house, self._mail = database, book, ids, house, mail

    async def send(self, asked: RuleRun, now: datetime) -> Outcome:
        """One attempt of one act; the stored outcome if it has one.

        Raises `ApplicationError` where it may have arrived and is to be sent again all the same: the step
        stays under way, so that nothing can end it meanwhile, and the activity's next attempt sends again.
        """
        run = Run(asked.visit_no, asked.rule, asked.n, asked.turn, asked.due, asked.released)
        async with self._database.transaction() as tx:
            attempt = await self._commit(tx, asked, run, now)
        if isinstance(attempt, Outcome):
            return attempt
        fail_point("sending.committed")
        came = await self._hand_over(attempt.message)
        fail_point("sending.after_250")
        outcome = await self._settled(asked.record_id, attempt, came, now)
        if outcome is None:
            what = "the mail server was given the message and did not answer"
            raise ApplicationError(what, type="Ambiguous", next_retry_delay=attempt.message.delay)
        return outcome

    async def _hand_over(self, message: Message) -> Came:
        if not message.left:
            return Delivery((), {})
        try:
            return await self._mail.send(message.letter)
        except (NotSent, Ambiguous) as mishap:
            return mishap

    # -- before --------------------------------------------------------------------------------
    async def _commit(self, tx: Transaction, asked: RuleRun, run: Run, now: datetime) -> _Attempt | Outcome:
        """The message that is to be handed over, or what the step ends as without."""
        locked = await Locked.take(tx, self._book, asked.record_id, run.visit_no)
        if locked is None or locked.visit(run.visit_no) is None:
            await write(tx, [line(asked.record_id, run.visit_no, "ignored", now, rule=run.rule)])
            return Outcome(result="stale", reason="outrun", at=now)
        runner = Runner(locked, self._house, self._ids, now)
        found = runner.stored(run) or await self._claim(runner, run)
        if isinstance(found, Outcome):
            found.next = await due_below(runner, run, found)
        await runner.flush()
        await book(tx, asked.record_id, asked.decisions)
        return found

    async def _claim(self, runner: Runner, run: Run) -> _Attempt | Outcome:
        locked, at = runner.locked, runner.on_time(run.due)
        message = await read(locked.tx, _key(locked, run))
        if message and message.state == "sending":  # no fence: it was passed
            rule = (await locked.rules(run.visit_no)).rule(run.rule)
            return await _taken_up(runner, _Attempt(run, rule, message, at))
        if message:
            run = run._replace(released=True)  # a further attempt is not overdue
        admitted = await runner.admit(run)
        if isinstance(admitted, Outcome):
            return admitted
        rule, _, verdict = admitted
        if message:
            message.again()
            await keep(locked.tx, message, "sending")
        else:
            try:
                message = await self._compose(runner, run, rule, at)
            except Refused as wrong:
                return await runner.fail(run, at, wrong.reason, wrong.message, verdict)
        claimed = LedgerRow(visit_no=run.visit_no, rule=run.rule, n=run.n, outcome="", reason="", at=at)
        runner.add(key(locked.record.id, claimed))
        return _Attempt(run, rule, message, at, verdict)

    async def _compose(self, runner: Runner, run: Run, rule: Rule, at: datetime) -> Message:
        effect = effect_of(await runner.locked.rules(run.visit_no), rule)
        assert isinstance(effect, Sending)  # noqa: S101  # no other kind runs here
        act = Act(runner.locked, run.visit_no, rule, run.n, at, self._ids, self._house.mail)
        message, row = new_message(act, effect.channel, await effect.compose(act))
        runner.add(row)
        return message

    # -- after ---------------------------------------------------------------------------------
    async def _settled(self, record_id: int, attempt: _Attempt, came: Came, now: datetime) -> Outcome | None:
        """Settle it though the database be away for a moment: the mail server cannot be asked again."""
        for pause in _PAUSES:
            try:
                return await self._settle(record_id, attempt, came, now)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(pause)
        return await self._settle(record_id, attempt, came, now)

    async def _settle(self, record_id: int, attempt: _Attempt, came: Came, now: datetime) -> Outcome | None:
        """The outcome; None if it may have arrived and is to be sent again."""
        async with self._database.transaction() as tx:
            locked = await Locked.take(tx, self._book, record_id, attempt.run.visit_no)
            if locked is None:
                return Outcome(result="stale", reason="outrun", at=now)
            runner = Runner(locked, self._house, self._ids, now)
            present = await read(tx, _key(locked, attempt.run))
            if present is None or present.state != "sending" or present.attempts != attempt.message.attempts:
                return runner.stored(attempt.run) or attempt.pending(now)  # settled, or overtaken
            outcome = await _judge(runner, attempt._replace(message=present), came)
            if outcome:
                outcome.next = await due_below(runner, attempt.run, outcome)
            await runner.flush()
            return outcome


async def _taken_up(runner: Runner, attempt: _Attempt) -> _Attempt | Outcome:
    """An attempt broke off, and nobody knows how far it came."""
    told = attempt.message.error  # by an attempt that got no answer and could say so
    error = told or "an earlier attempt broke off; the message may have arrived"
    if not attempt.may_repeat(runner.now):
        return await _park(runner, attempt, error)
    attempt.message.attempts += 1
    await keep(runner.locked.tx, attempt.message, "sending")
    if not told:
        runner.add(_retry(runner, attempt, error, runner.now))
    return attempt


async def _judge(runner: Runner, attempt: _Attempt, came: Came) -> Outcome | None:
    """What the step is, by what came of handing its message over."""
    message, now, error = attempt.message, runner.now, ""
    match came:
        case Ambiguous() if attempt.may_repeat(now):
            await keep(runner.locked.tx, message, "sending", came.message)
            runner.add(_retry(runner, attempt, came.message, now + message.delay))
            return None
        case Ambiguous():
            return await _park(runner, attempt, came.message)
        case NotSent():
            error = came.message
            if not came.temporary:
                return await _fail(runner, attempt, "refused", error)
        case Delivery():
            message.accepted += came.accepted
            before = {a: reply for a, reply in message.refused.items() if a not in came.accepted}
            message.refused = before | came.refused
    error = "; ".join(filter(None, [error, *message.problems()]))
    if message.left and attempt.in_time(now):
        return await _put_back(runner, attempt, error)
    if message.left:
        return await _fail(runner, attempt, "retry_for", error)
    if message.refused:
        by_server = any(reply.code != NO_ADDRESS for reply in message.refused.values())
        return await _fail(runner, attempt, "refused" if by_server else "no_address", error)
    return await _done(runner, attempt)


# -- endings -----------------------------------------------------------------------------------------
async def _done(runner: Runner, attempt: _Attempt) -> Outcome:
    await keep(runner.locked.tx, attempt.message, "sent", sent_at=attempt.at)
    await _give_back(runner.locked, attempt.run)
    outcome, results = Outcome(result="done", at=attempt.at), Done(attempt.message.results)
    who = attempt.rule.acting
    actor = runner.locked.record.responsible_id if who == "responsible" else who
    return runner.end(attempt.run, outcome, results, verdict=attempt.verdict, actor=actor or "system")


async def _put_back(runner: Runner, attempt: _Attempt, error: str) -> Outcome:
    """It was refused for the moment: the key is free, and the next attempt passes the fence again."""
    outcome = attempt.pending(runner.now)
    await keep(runner.locked.tx, attempt.message, "failed", error)
    await _give_back(runner.locked, attempt.run)
    runner.add(_retry(runner, attempt, error, outcome.due))
    return outcome


async def _fail(runner: Runner, attempt: _Attempt, reason: str, error: str) -> Outcome:
    """It failed for good, though perhaps not for everybody."""
    sent_at = attempt.at if attempt.message.accepted else None
    await keep(runner.locked.tx, attempt.message, "failed", error, sent_at)
    outcome = Outcome(result="failed", reason=reason, at=attempt.at)
    return await _ended_badly(runner, attempt, outcome, f"failed: {error}", error)


async def _park(runner: Runner, attempt: _Attempt, error: str) -> Outcome:
    """Nobody knows whether it arrived; an operator has to say."""
    await keep(runner.locked.tx, attempt.message, "unknown", error)
    outcome = Outcome(result="unknown", at=attempt.at)
    return await _ended_badly(runner, attempt, outcome, f"may have sent its message, or not: {error}", error)


async def _ended_badly(runner: Runner, attempt: _Attempt, outcome: Outcome, told: str, error: str) -> Outcome:
    """The results list who got it all the same; the owner of the rule set is told."""
    run, title = attempt.run, runner.locked.record.title
    await _give_back(runner.locked, run)
    runner.end(run, outcome, Done(attempt.message.results), error=error, verdict=attempt.verdict)
    if owner := await runner.owner(run.visit_no):
        runner.add(runner.notice(run, owner, f"Rule {run.rule!r} of {title!r} {told}", outcome.at))
    return outcome


def _retry(runner: Runner, attempt: _Attempt, error: str, due: datetime | None) -> Rows:
    """The line of the journal that says that it is tried again, why, and when."""
    detail: dict[str, object] = {"error": error, "attempt": attempt.message.attempts, "due": due}
    if attempt.verdict:
        detail["condition"] = attempt.verdict.model_dump(mode="json")
    run, record_id = attempt.run, runner.locked.record.id
    return line(record_id, run.visit_no, "retry", runner.now, rule=run.rule, n=run.n, detail=detail)


# -- the key -----------------------------------------------------------------------------------------
async def _give_back(locked: Locked, run: Run) -> None:
    """The key is free: for the next attempt, or for the outcome."""
    locked.ledger.pop((run.visit_no, run.rule, run.n), None)
    await locked.tx.execute(_GIVE_BACK, _key(locked, run))


def _key(locked: Locked, run: Run) -> dict[str, object]:
    return {"id": locked.record.id, "visit_no": run.visit_no, "rule": run.rule, "n": run.n}


_GIVE_BACK = text("""
delete from ledger
where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n and outcome = ''
""").bindparams(bindparam("id", type_=BigInteger))
