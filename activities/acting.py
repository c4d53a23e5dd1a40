"""The one place where an effect is called, and what becomes of a step whose effect cannot be had.

What an effect raises is its rule's fault; what is raised around it is the engine's, and passes through here.
Effects that write by themselves do so in a savepoint of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DataError, IntegrityError

from activities.act import Act
from activities.bounds import Overran, bounded
from activities.catalogue import effects
from activities.effect import Done, Effect
from activities.fault_log import report
from activities.happened import edited, hearing
from activities.runner import Run, Runner
from activities.strikes import in_words
from activities.trial import Faulted
from db.journal import open_task
from db.mishaps import is_too_slow, passes
from db.records import TooManyMoves, suspend_for_loop
from db.rulebook import Version
from domain.conditions import Verdict
from domain.errors import NotNow, Refused, Unreadable
from domain.events import Outcome
from domain.rule import Rule

T = TypeVar("T")

_FOR_GOOD: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip
"""What comes again however often it is tried."""


class Raised(Exception):
    """An effect raised what no effect should: `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error

    @property
    def for_good(self) -> bool:
        """Whether there is no use in trying again."""
        return isinstance(self.error, _FOR_GOOD)

    @property
    def overran(self) -> bool:
        """Whether it was stopped because it took too long. Its connection is not to be used any more."""
        return isinstance(self.error, Overran) or is_too_slow(self.error)

    def fault(self, run: Run) -> Faulted:
        """The same as what ends the attempt."""
        return Faulted(run.key, self.error, overran=self.overran)


async def called(runner: Runner, effect: Effect, work: Coroutine[Any, Any, T]) -> T:
    """What an effect answers, in the time it has.

    Raises what effects may raise, and what passes by itself, as it is; anything else as `Raised`.
    """
    try:
        return await bounded(work, runner.trial.left(effect.seconds))
    except (Refused, TooManyMoves, Unreadable, IntegrityError, DataError, KeyboardInterrupt, GeneratorExit):
        raise
    except asyncio.CancelledError as cancelled:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        raise Raised(cancelled) from cancelled  # nobody has cancelled us: it is the effect's own
    except BaseException as error:
        if passes(error):
            raise
        raise Raised(error) from error


async def carry_out(runner: Runner, run: Run, rule: Rule, effect: Effect, verdict: Verdict | None) -> Outcome:
    """Let the effect act; what cannot be had fails the step.

    Raises `Faulted` where that is not to be said before it was tried again.
    """
    locked, house = runner.locked, runner.house
    at = runner.on_time(runner.released(run))
    act = Act(locked, run.visit_no, rule, run.n, at, runner.ids, house.mail, house.sms, house.documents)
    alone = effect.executes or runner.careful
    try:
        if alone:
            await runner.flush()
            async with locked.tx.begin_nested():
                return await _done(runner, run, act, effect, verdict)
        return await _done(runner, run, act, effect, verdict)
    except TooManyMoves as many:
        await runner.undo()
        owner = await runner.owner(run.visit_no)
        runner.add(*await suspend_for_loop(locked, runner.now, str(many), owner))
        outcome = Outcome(result="pending", waiting="suspended", due=run.due, at=runner.now)
        runner.add(runner.said(run, outcome, {"error": str(many)}))
        return outcome
    except Refused as refused:
        if alone:
            await runner.undo()
        if isinstance(refused, NotNow) and (later := await runner.put_off(run, rule, refused, verdict)):
            return later
        return await _failed(runner, run, act, effect, refused.reason, refused.message, verdict)
    except (IntegrityError, DataError) as error:
        if not alone:
            raise
        await runner.undo()
        return await _failed(runner, run, act, effect, "database", str(error.orig)[:300], verdict)
    except Raised as raised:
        if not alone or not raised.for_good:
            raise raised.fault(run) from None
        await runner.undo()
        report(locked.record.id, run.key, raised.error)
        return await _failed(runner, run, act, effect, "error", in_words(raised.error), verdict)


async def _done(runner: Runner, run: Run, act: Act, effect: Effect, verdict: Verdict | None) -> Outcome:
    locked, done = runner.locked, await called(runner, effect, effect.apply(act))
    if not isinstance(done, Done):
        raise Raised(TypeError(f"{effect.kind} answers {type(done).__name__}"))
    outcome = Outcome(result="done", at=act.now, moved_to=done.moved_to, changed=list(done.changed))
    if done.changed and not done.moved_to:
        outcome.triggers = [t.id for t in await hearing(locked, edited(done.changed))]
    if done.hold and not runner.leaving(run, await locked.rules(run.visit_no)):
        outcome = Outcome(result="open", due=done.hold.until, at=act.now)
        runner.add(open_task(locked, run.visit_no, run.rule, run.due, outcome))
    runner.end(run, outcome, done, verdict=verdict, actor=act.author)
    if effect.executes or runner.careful:
        await runner.flush()
    runner.bells += done.bells
    return outcome


async def _failed(
    runner: Runner, run: Run, act: Act, effect: Effect, reason: str, why: str, verdict: Verdict | None
) -> Outcome:
    try:
        runner.add(*effect.on_failure(act, why))
    except Exception as error:  # noqa: BLE001 - it has failed already, and does so whatever else does
        report(runner.locked.record.id, run.key, error)
    return await runner.fail(run, act.now, reason, why, verdict)


def effect_of(version: Version, rule: Rule) -> Effect:
    """The effect of a rule with its parameters; made once a version."""
    if rule.id not in version.prepared:
        version.prepared[rule.id] = effects()[rule.kind].model_validate(rule.params)
    effect = version.prepared[rule.id]
    assert isinstance(effect, Effect)  # noqa: S101  # nothing else is put there
    return effect
