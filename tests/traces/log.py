"""The log of the BPI Challenge 2012 as cases, and a case as a scenario."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.traces.rules import CALENDAR, PIPELINE, PIPELINE_ID, ZONE, stage_of

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "bpic2012.csv.gz"

Json = dict[str, Any]

AFTERWARDS = timedelta(days=60)  # how long time runs on after a case's last event
STAGE_MOVES = ("O_CREATED", "O_SENT")  # and every `A_*`
CLIENT_ANSWER = "O_SENT_BACK"


@dataclass(frozen=True)
class Event:
    """One line of the log; `at` is an instant in UTC."""

    at: datetime
    activity: str
    lifecycle: str


@dataclass
class Case:
    """One application; `amount` is a decimal number as text, the events are in file order."""

    id: str
    started: datetime
    amount: str
    events: list[Event] = field(default_factory=list)


def cases(path: Path) -> Iterator[Case]:
    """All cases of a gzipped log, in the order in which they first appear."""
    found: dict[str, Case] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            case = found.get(row["case"])
            if case is None:
                case = found[row["case"]] = Case(row["case"], instant(row["case_started"]), row["amount"])
            case.events.append(Event(instant(row["time"]), row["activity"], row["lifecycle"]))
    yield from found.values()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def scenario(case: Case) -> Json:
    """The case as a deal: states are stages, an offer sent back is the client's reply, else recorded only."""
    first, *rest = case.events
    events: list[Json] = [{"at": first.at.isoformat(), "type": "create"}]
    events += [told(case, number, event) for number, event in enumerate(rest, 2)]
    return {
        "zone": ZONE,
        "calendar": CALENDAR,
        "pipelines": {PIPELINE_ID: PIPELINE},
        "record": {
            "pipeline": PIPELINE_ID,
            "stage": stage_of(first.activity),
            "fields": {"amount": case.amount, "submitted_at": case.started.isoformat()},
        },
        "events": events,
        "until": (case.events[-1].at + AFTERWARDS).isoformat(),
    }


def told(case: Case, number: int, event: Event) -> Json:
    """One event of the log as an event of a scenario."""
    made: Json = {"at": event.at.isoformat()}
    if event.activity.startswith("A_") or event.activity in STAGE_MOVES:
        return made | {"type": "move", "stage": stage_of(event.activity)}
    if event.activity == CLIENT_ANSWER:
        return made | {"type": "client", "kind": "reply", "id": f"{case.id}-{number}"}
    made["type"] = "todo"
    if event.activity.startswith("W_") and event.lifecycle in ("SCHEDULE", "COMPLETE"):
        made |= {"subject": event.activity, "done": event.lifecycle == "COMPLETE"}
    return made  # everything else is recorded only


def shift(told_once: Json, weeks: int) -> Json:
    """The same scenario, every instant of it a whole number of weeks later.

    Instants are moved, not clocks on the wall: across a change of clocks the local time differs by an hour.
    Holidays of the calendar stay where they are.
    """
    by = timedelta(weeks=weeks)

    def later(text: str) -> str:
        return (datetime.fromisoformat(text) + by).isoformat()

    record = told_once["record"]
    fields = record["fields"] | {"submitted_at": later(record["fields"]["submitted_at"])}
    return told_once | {
        "record": record | {"fields": fields},
        "events": [event | {"at": later(event["at"])} for event in told_once["events"]],
        "until": later(told_once["until"]),
    }
