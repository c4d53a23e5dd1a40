"""What becomes of acts that are not tried any more: their steps fail, whoever owns the rules is told."""

from __future__ import annotations

from activities.act import Act
from activities.fault_log import report
from activities.hold_rows import claim, say
from activities.runner import Run, Runner
from activities.trial import Condemned
from db.facts import HoldRow
from db.journal import end_holds
from domain.errors import Unreadable
from domain.events import TRIGGER, HoldEnd, Outcome


async def give_up(runner: Runner, run: Run, found: Condemned) -> Outcome:
    """The outcome of an act that three attempts brought to none."""
    if run.rule.startswith(TRIGGER):
        return await runner.fail(run, runner.now, found.reason, found.why)
    hold = runner.locked.holds.get((run.visit_no, run.rule))
    if hold and not hold.outcome:
        end = await end_hold(runner, hold, found)
        return Outcome(result=end.result, reason=end.reason, at=end.at)
    if run.n:  # how it ended cannot be told
        outcome = Outcome(result="failed", reason=found.reason, at=runner.now)
        claim(runner, run, outcome, found.why)
        say(runner, run, "not_told", runner.now, {"error": found.why})
        await _tell(runner, run, found)
        return outcome
    if not runner.passes(run):
        return runner.end(run, Outcome(result="stale", reason="outrun", at=runner.now))
    return await failed(runner, run, found.reason, found.why)


async def failed(runner: Runner, run: Run, reason: str, why: str) -> Outcome:
    """The step has failed, with what its effect leaves all the same."""
    try:
        version = await runner.locked.rules(run.visit_no)
        rule = version.rule(run.rule)
        if effect := version.prepared.get(rule.id):
            act = Act(runner.locked, run.visit_no, rule, run.n, runner.now, runner.ids)
            runner.add(*effect.on_failure(act, why))  # type: ignore[attr-defined]  # an effect, if prepared
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - it has failed already, and does so whatever else does
        report(runner.locked.record.id, run.key, error)
    return await runner.fail(run, runner.now, reason, why)


async def end_hold(runner: Runner, row: HoldRow, found: Condemned) -> HoldEnd:
    """An open wait or control that can neither go on nor end by itself is over."""
    await runner.flush()
    end = HoldEnd(rule=row.rule, result="failed", reason=found.reason, at=runner.now)
    runner.add(*await end_holds(runner.locked, row.visit_no, [end], "system"))
    await _tell(runner, Run(row.visit_no, row.rule), found)
    return end


async def _tell(runner: Runner, run: Run, found: Condemned) -> None:
    if owner := await runner.owner(run.visit_no):
        said = f"Rule {run.rule!r} of {runner.locked.record.title!r} failed: {found.why}"
        runner.add(runner.notice(run, owner, said, runner.now))
