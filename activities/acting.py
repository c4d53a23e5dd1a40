"""The one place where an effect is carried out, and what becomes of a step whose effect cannot be.

Effects that write by themselves do so in a savepoint of their own.
"""

from __future__ import annotations

from sqlalchemy.exc import DataError, IntegrityError

from activities.act import Act
from activities.catalogue import effects
from activities.effect import Effect
from activities.happened import edited, hearing
from activities.runner import Run, Runner
from db.journal import open_task
from db.records import TooManyMoves, suspend_for_loop
from db.rulebook import Version
from domain.conditions import Verdict
from domain.errors import NotNow, Refused
from domain.events import Outcome
from domain.rule import Rule


async def carry_out(runner: Runner, run: Run, rule: Rule, effect: Effect, verdict: Verdict | None) -> Outcome:
    """Let the effect act; what cannot be had fails the step."""
    locked, house = runner.locked, runner.house
    at = runner.on_time(run.due)
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
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # a rule that cannot be carried out must not be tried for ever, and nothing of it may stay
        if alone:
            await runner.undo()
        why = f"{type(error).__name__}: {error}"[:300]
        return await _failed(runner, run, act, effect, "error", why, verdict)


async def _done(runner: Runner, run: Run, act: Act, effect: Effect, verdict: Verdict | None) -> Outcome:
    locked, done = runner.locked, await effect.apply(act)
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
    runner.add(*effect.on_failure(act, why))
    return await runner.fail(run, act.now, reason, why, verdict)


def effect_of(version: Version, rule: Rule) -> Effect:
    """The effect of a rule with its parameters; made once a version."""
    if rule.id not in version.prepared:
        version.prepared[rule.id] = effects()[rule.kind].model_validate(rule.params)
    effect = version.prepared[rule.id]
    assert isinstance(effect, Effect)  # noqa: S101  # nothing else is put there
    return effect
