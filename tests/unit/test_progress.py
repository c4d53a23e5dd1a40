"""The closing act of a control: whoever was told it is late is told how it ended, under a key of its own."""

from datetime import UTC, datetime, timedelta

from domain.events import Ended, Fired, HoldEnd, Left, Opened, Outcome, Run
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
