"""Acts of holds that cross each other: closing acts, and ends that are heard before the opening is."""

from datetime import UTC, datetime, timedelta

from domain.changed_facts import SUSPENSION, Facts
from domain.events import (
    TRIGGER,
    Arm,
    Changed,
    Ended,
    Fired,
    Follow,
    HoldEnd,
    HoldEnded,
    Judged,
    Left,
    Opened,
    Outcome,
    Released,
    Run,
)
from domain.plan import Step
from domain.progress import Progress

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
DEADLINE = START + timedelta(hours=1)


def late_control() -> Progress:
    """A control whose deadline has come; its notice, act 1, is in flight."""
    progress = Progress()
    step = Step(rule="watch", kind="control", nature="control", first=True, blocks=False)
    assert progress.on(Opened(1, "offer", [step], START)) == [Run(1, "watch", 0)]
    progress.on(Ended(1, "watch", 0, Outcome(result="open", due=DEADLINE, at=START)))
    assert progress.on(Fired(DEADLINE)) == [Run(1, "watch", 1)]
    return progress


def left() -> Left:
    end = HoldEnd(rule="watch", result="done", reason="resolved_late", at=DEADLINE, closing=True)
    return Left(1, DEADLINE, "left_stage", [], [end])


def test_an_act_in_flight_as_the_stage_is_left_and_the_closing_act_have_keys_of_their_own() -> None:
    progress = late_control()
    assert progress.on(left()) == [Run(1, "watch", 2)]
    assert progress.resume() == [Run(1, "watch", 2)]
    progress.on(Ended(1, "watch", 2, Outcome(result="done", at=DEADLINE)))
    assert progress.resume() == []


def test_a_control_told_and_at_rest_takes_the_next_number_for_its_closing_act() -> None:
    progress = late_control()
    progress.on(Ended(1, "watch", 1, Outcome(result="open", at=DEADLINE)))
    assert progress.on(left()) == [Run(1, "watch", 2)]


def test_the_end_of_a_wait_that_is_heard_before_its_opening_ends_it_as_it_opens() -> None:
    progress = Progress()
    below = Step(rule="answered", kind="add_comment")
    wait = Step(rule="answer", kind="wait", nature="wait", first=True)
    assert progress.on(Opened(1, "offer", [wait, below], START)) == [Run(1, "answer", 0)]
    end = HoldEnd(rule="answer", result="done", reason="client", at=START)
    assert progress.on(HoldEnded(1, end)) == []
    opening = Ended(1, "answer", 0, Outcome(result="open", due=DEADLINE, at=START))
    assert Run(1, "answered", 0) in progress.on(opening)
    assert progress.resume() == [Run(1, "answered", 0)]
    assert progress.early == []


def test_what_was_heard_early_goes_with_its_visit() -> None:
    progress = Progress()
    progress.on(Opened(1, "offer", [Step(rule="answer", kind="wait", nature="wait", first=True)], START))
    progress.on(HoldEnded(1, HoldEnd(rule="answer", result="done", reason="client", at=START)))
    progress.on(Left(1, START, "left_stage", [], []))
    progress.on(Ended(1, "answer", 0, Outcome(result="stale", reason="outrun", at=START)))
    assert progress.early == []


# -- closing acts and suspension -----------------------------------------------------------------------
def owing() -> Progress:
    """A control that was told has ended; its closing act, number 2, is in flight."""
    progress = late_control()
    progress.on(Ended(1, "watch", 1, Outcome(result="open", at=DEADLINE)))
    end = HoldEnd(rule="watch", result="done", reason="resolved_late", at=DEADLINE, closing=True)
    assert progress.on(HoldEnded(1, end)) == [Run(1, "watch", 2)]
    return progress


MET = Ended(1, "watch", 2, Outcome(result="pending", waiting="suspended", at=DEADLINE))
RESUMED = Facts(at=DEADLINE, fields=[SUSPENSION])


def test_a_closing_act_that_met_a_suspension_waits_until_it_is_released() -> None:
    progress = owing()
    assert progress.on(MET) == []
    carried_on = Progress.model_validate_json(progress.model_dump_json(exclude_defaults=True))
    assert carried_on.resume() == []
    assert carried_on.on(Changed(RESUMED)) == [Follow(RESUMED)]
    assert carried_on.on(Judged(RESUMED), Released(1, "watch", 2)) == [Run(1, "watch", 2)]
    carried_on.on(Ended(1, "watch", 2, Outcome(result="done", at=DEADLINE)))
    assert carried_on.resume() == carried_on.closing == []


def test_a_resume_heard_while_the_closing_act_is_in_flight_is_judged_when_it_is_back() -> None:
    progress = owing()
    progress.on(Changed(RESUMED))
    progress.on(Judged(RESUMED))
    assert progress.on(MET) == [Follow(RESUMED)]
    assert progress.on(Judged(RESUMED), Released(1, "watch", 2)) == [Run(1, "watch", 2)]


# -- a transition that comes back late -----------------------------------------------------------------
MOVED = Outcome(result="done", at=START, moved_to=2)


def moving() -> Progress:
    """A transition is in flight; beside it a chain that is kept waits for its time."""
    progress = Progress()
    steps = [
        Step(rule="kept", kind="add_comment", first=True, on_exit="keep", delay=3600),
        Step(rule="forward", kind="change_stage", nature="transition", first=True),
        Step(rule="below", kind="add_comment"),
    ]
    progress.on(Opened(1, "new", steps, START))
    assert progress.resume() == [Arm(1, "kept", DEADLINE), Run(1, "forward", 0)]
    return progress


def test_what_is_kept_goes_on_when_a_transition_comes_back_after_where_it_led_was_opened_and_left() -> None:
    progress = moving()
    progress.on(Left(1, START, "left_stage", ["kept"], [], "forward"))
    progress.on(Opened(2, "offer", [Step(rule="never", kind="add_comment", first=True)], START))
    progress.on(Left(2, START, "closed", [], []))
    progress.on(Opened(3, "won", [], START))
    progress.on(Ended(1, "forward", 0, MOVED))
    assert Run(1, "kept", 0) in progress.on(Fired(DEADLINE))
    assert progress.resume() == [Run(1, "kept", 0)]


def test_the_stage_goes_on_when_a_trigger_comes_back_after_where_it_led_was_opened() -> None:
    progress = Progress()
    progress.on(Opened(1, "new", [], START))
    progress.on(Left(1, START, "left_stage", [], []))
    progress.on(Opened(2, "offer", [Step(rule="here", kind="add_comment", first=True)], START))
    progress.on(Ended(1, f"{TRIGGER}pays", 0, MOVED))
    progress.on(Ended(2, "here", 0, Outcome(result="pending", waiting="retry", due=DEADLINE, at=START)))
    assert progress.on(Fired(DEADLINE)) == [Run(2, "here", 0)]
