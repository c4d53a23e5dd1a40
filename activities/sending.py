"""One send: committed as `sending`, handed over with no transaction open, then settled.

Whoever finds a message `sending` knows that an attempt broke off and that its fate is unknown. What goes to
employees only may be sent again, under the same id; anything else is parked for an operator, unless the
provider can be asked for it. An act is one e-mail, or one SMS each: what came of some is settled while others
are tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from temporalio.exceptions import ApplicationError

from activities.act import Act
from activities.acting import Raised, called, effect_of
from activities.effect import Sending
from activities.fault_log import report
from activities.follow import bring_on
from activities.handing_over import Came, hand_over
from activities.house import House
from activities.messages import Message, keep, new_messages, read
from activities.providers.mail import Mail
from activities.providers.sms import SmsProvider
from activities.runner import Admitted, Run, Runner
from activities.settling import (
    MAY_HAVE_ARRIVED,
    Attempt,
    StillUnderWay,
    give_up,
    key_of,
    settle,
    take_up,
)
from activities.strikes import Strikes, in_words
from activities.trial import Trial, blaming
from db.engine import Database, Transaction
from db.facts import LedgerRow
from db.fail_points import fail_point
from db.journal import book, key, line
from db.locked import Locked
from db.rows import Ids, write
from db.rulebook import Rulebook
from domain.errors import NotNow, Refused
from domain.events import Outcome
from domain.journey import RuleRun
from domain.rule import Rule

_PAUSES: Final = (0.2, 1.0, 5.0)  # seconds, while the database cannot be told what the other side said


class Sender:
    """Sends what rules of a sending kind compose. One object a process. `sms`: the providers by name."""

    def __init__(
        self, database: Database, book: Rulebook, ids: Ids, house: House, mail: Mail,
        sms: Mapping[str, SmsProvider] | None = None,
    ) -> None:  # fmt: skip
        self._database, self._book, self._ids, self._house = database, book, ids, house
        self._mail, self._sms, self._strikes = mail, sms or {}, Strikes(database)

    async def send(self, asked: RuleRun, now: datetime) -> Outcome:
        """One attempt of one act; the stored outcome if it has one.

        Raises `ApplicationError` where it may have arrived and is to be sent again all the same: the step
        stays under way, so that nothing can end it meanwhile, and the activity's next attempt sends again.
        """

        async def attempt(trial: Trial) -> Outcome:
            return await self._attempt(asked, now, trial)

        return await self._strikes.attempt(asked.record_id, now, attempt)

    async def _attempt(self, asked: RuleRun, now: datetime, trial: Trial) -> Outcome:
        run = Run(asked.visit_no, asked.rule, asked.n, asked.turn, asked.due, asked.released)
        async with self._database.transaction() as tx:
            attempt = await self._commit(tx, asked, run, now, trial)
        if isinstance(attempt, Outcome):
            return attempt
        if isinstance(attempt, StillUnderWay):
            raise _again(attempt)
        fail_point("sending.committed")
        came = await hand_over(attempt.under_way, self._mail, self._sms, attempt.again(now))
        fail_point("sending.after_250")
        outcome = await self._settled(asked.record_id, attempt, came, now)
        if isinstance(outcome, StillUnderWay):
            raise _again(outcome)
        return outcome

    # -- before --------------------------------------------------------------------------------
    async def _commit(
        self, tx: Transaction, asked: RuleRun, run: Run, now: datetime, trial: Trial
    ) -> Attempt | Outcome | StillUnderWay:
        """What is to be handed over, or what the step ends as without."""
        locked = await Locked.take(tx, self._book, asked.record_id, run.visit_no)
        if locked is None or locked.visit(run.visit_no) is None:
            await write(tx, [line(asked.record_id, run.visit_no, "ignored", now, rule=run.rule)])
            return Outcome(result="stale", reason="outrun", at=now)
        runner = Runner(locked, self._house, self._ids, now, trial=trial)
        found: Attempt | Outcome | StillUnderWay | None = runner.stored(run)
        if found is None:
            with blaming(run.key):
                found = await self._claim(runner, run)
        if isinstance(found, Outcome):
            await bring_on(runner, run, found)
        await runner.flush()
        await book(tx, asked.record_id, asked.decisions)
        return found

    async def _claim(self, runner: Runner, run: Run) -> Attempt | Outcome | StillUnderWay:
        locked, at = runner.locked, runner.on_time(runner.released(run))
        messages = await read(locked.tx, key_of(locked, run))
        under_way = Attempt(run, (await locked.rules(run.visit_no)).rule(run.rule), messages, at)
        if why := runner.trial.condemned.get(run.key):
            failed = Outcome(result="failed", reason=why.reason, at=runner.now)
            return await give_up(runner, under_way, failed, why.why)
        await runner.trial.begins(run.key)
        if under_way.under_way:  # no fence: it was passed
            return await take_up(runner, under_way._replace(taken_up=True))
        run = run._replace(released=run.released or bool(messages))  # a further attempt is not overdue
        admitted = await _admitted(runner, under_way._replace(run=run))
        if not isinstance(admitted, Admitted):
            return admitted
        verdict = admitted.verdict
        if messages:
            for message in _to_repeat(messages):
                message.again()
                await keep(locked.tx, message)
        else:
            composed = await self._composed(runner, under_way._replace(verdict=verdict))
            if isinstance(composed, Outcome):
                return composed
            messages = composed
        if run.key not in locked.ledger:  # what is doubted has kept its key
            claimed = LedgerRow(visit_no=run.visit_no, rule=run.rule, n=run.n, outcome="", reason="", at=at)
            runner.add(key(locked.record.id, claimed))
        return Attempt(run, admitted.rule, messages, at, verdict)

    async def _composed(self, runner: Runner, attempt: Attempt) -> list[Message] | Outcome:
        """The messages, or what the step is where there are none to send."""
        run, rule, _, at, verdict, _ = attempt
        try:
            return await self._compose(runner, run, rule, at)
        except Refused as wrong:
            if isinstance(wrong, NotNow) and (later := await runner.put_off(run, rule, wrong, verdict)):
                return later
            return await runner.fail(run, at, wrong.reason, wrong.message, verdict)
        except Raised as raised:
            if not raised.for_good:
                raise raised.fault(run) from None
            report(runner.locked.record.id, run.key, raised.error)
            return await runner.fail(run, at, "error", in_words(raised.error), verdict)

    async def _compose(self, runner: Runner, run: Run, rule: Rule, at: datetime) -> list[Message]:
        effect = effect_of(await runner.locked.rules(run.visit_no), rule)
        assert isinstance(effect, Sending)  # noqa: S101  # no other kind runs here
        house = self._house
        act = Act(
            runner.locked, run.visit_no, rule, run.n, at, self._ids, house.mail, house.sms, house.documents
        )
        composed = await called(runner, effect, effect.compose(act))
        messages, rows = new_messages(act, effect.channel, composed)
        runner.add(rows)
        return messages

    # -- after ---------------------------------------------------------------------------------
    async def _settled(
        self, record_id: int, attempt: Attempt, came: Mapping[str, Came], now: datetime
    ) -> Outcome | StillUnderWay:
        """Settle it though the database be away for a moment: the other side cannot be asked again."""
        for pause in _PAUSES:
            try:
                return await self._settle(record_id, attempt, came, now)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(pause)
        return await self._settle(record_id, attempt, came, now)

    async def _settle(
        self, record_id: int, attempt: Attempt, came: Mapping[str, Came], now: datetime
    ) -> Outcome | StillUnderWay:
        async with self._database.transaction() as tx:
            locked = await Locked.take(tx, self._book, record_id, attempt.run.visit_no)
            if locked is None:
                return Outcome(result="stale", reason="outrun", at=now)
            runner = Runner(locked, self._house, self._ids, now)
            present = await read(tx, key_of(locked, attempt.run))
            if _under_way(present) != _under_way(attempt.messages):
                # settled, or overtaken
                return runner.stored(attempt.run) or attempt._replace(messages=present).later(now)
            outcome = await settle(runner, attempt._replace(messages=present), came)
            if isinstance(outcome, Outcome):
                await bring_on(runner, attempt.run, outcome)
            await runner.flush()
            return outcome


async def _admitted(runner: Runner, attempt: Attempt) -> Admitted | Outcome | StillUnderWay:
    """Whether it may be handed over (again): after every definite refusal the fence is asked.

    What may have arrived by an earlier attempt does not end as what has not acted.
    """
    if not attempt.doubted:
        return await runner.admit(attempt.run)
    judged = await runner.judge(attempt.run)
    if isinstance(judged, Admitted):
        return judged
    refused, _ = judged
    if refused.result == "pending" and attempt.in_time(runner.now):
        return attempt.later(runner.now)
    return await give_up(runner, attempt, refused, MAY_HAVE_ARRIVED)


def _again(later: StillUnderWay) -> ApplicationError:
    what = "the other side was given the message, and nothing is known for good"
    return ApplicationError(what, type="Ambiguous", next_retry_delay=later.pause)


def _under_way(messages: Sequence[Message]) -> dict[str, int]:
    """Which messages are to be settled, each with the attempt that it is."""
    return {message.message_id: message.attempts for message in messages if message.state == "sending"}


def _to_repeat(messages: Sequence[Message]) -> list[Message]:
    """Those refused for the moment; where there are none an operator asked, and it is all that did not go."""
    refused = [message for message in messages if message.state == "failed" and message.left]
    return refused or [message for message in messages if message.state in ("failed", "unknown")]
