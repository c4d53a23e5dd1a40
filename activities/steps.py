"""One act of one step: fence, key, decision, effect."""

from __future__ import annotations

from activities.acting import carry_out, effect_of
from activities.giving_up import give_up
from activities.holds import act_of_hold, closing_act, open_hold
from activities.runner import Run, Runner
from activities.trial import blaming
from activities.triggers import caused
from domain.events import TRIGGER, Outcome


async def act(runner: Runner, run: Run) -> Outcome:
    """Do what is due, once: the stored outcome if it was done before, `stale` if the stage was left.

    Raises `activities.trial.Faulted` when it comes to no outcome, so that it is known which act it was.
    """
    if stored := runner.stored(run):
        return stored
    if condemned := runner.trial.condemned.get(run.key):
        return await give_up(runner, run, condemned)
    await runner.trial.begins(run.key)
    with blaming(run.key):
        outcome = await _act(runner, run)
        if runner.careful:
            await runner.flush()
        return outcome


async def _act(runner: Runner, run: Run) -> Outcome:
    if run.rule.startswith(TRIGGER):
        return await caused(runner, run)
    hold = runner.locked.holds.get((run.visit_no, run.rule))
    if run.n:
        if hold is None or hold.outcome:
            return await closing_act(runner, run, hold)
        return await act_of_hold(runner, run, hold)
    admitted = await runner.admit(run)
    if isinstance(admitted, Outcome):
        return admitted
    rule, version, verdict = admitted
    if rule.kind in ("wait", "control"):
        return await open_hold(runner, run, rule, version.hold(rule.id), verdict)
    return await carry_out(runner, run, rule, effect_of(version, rule), verdict)
