"""A pipeline with all that the world sees: bookings, meetings with guests, tasks, controls, a trigger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from db.engine import Transaction
from tests import builders
from tests.chaos.company import CLIENT, STAGES, THEN, comment, mail, on, rule

PIPELINE = "stairs"
DATES = ("soon", "later", "last")
FIELDS: list[dict[str, Any]] = [
    *({"name": name, "type": "datetime"} for name in DATES),
    {"name": "hot", "type": "boolean"},
    {"name": "note", "type": "text"},
    {"name": "visit", "type": "booking"},
]
HOT: dict[str, Any] = {"field": "record.hot", "op": "equal", "value": True}
TOMORROW: dict[str, Any] = {"after": {"days": 1}}
RULES: dict[str, list[dict[str, Any]]] = {
    "new": [
        comment("hello"),
        rule("call", "create_todo", {"subject": "Call them", "complete_on_exit": True}, **THEN),
        rule("coupon", "generate_code", {"length": 12}),
        mail("to-colleague", "responsible"),
        comment("after-mail", **THEN),
        mail("to-client", "{{ contact.email }}", on_unknown="ask"),
        rule("patience", "wait", {
            "until": {"basis": "record.later"}, "ends_on": ["call"], "on_client": {"move_to": "offer"},
            "on_timeout": "todo",
        }),
        comment("after-wait", **THEN),
        comment("kept", on_exit="keep", **on("last")),
        comment("kept-too", **THEN),
        comment("at-once", on_exit="run_now", **on("last")),
        comment("picky", condition=HOT, if_false="wait"),
        rule("forward", "change_stage", {"stage": "offer"}, **on("later")),
    ],
    "offer": [
        comment("arrived"),
        rule("booked", "book_resource", {
            "field": "visit", "start": TOMORROW, "duration": {"hours": 1}, "resources": ["resource:van"],
            "on_conflict": "next_free",
        }),
        rule("meeting", "schedule_meeting", {
            "start": TOMORROW | {"at": "10:00"}, "participants": [CLIENT],
        }),
        rule("task", "create_task", {"name": "Draw it"}),
        rule("watch", "control", {
            "deadline": {"basis": "record.soon"}, "until": HOT, "message": "late",
        }),
        comment("choosy", condition=HOT, if_false="wait"),
        mail("offer-mail", "responsible", **on("soon")),
        rule("win", "change_stage", {"stage": "won"}, condition=HOT, if_false="wait", **on("last")),
    ],
    "won": [comment("won-it"), rule("cheer", "notify", {"text": "Well done"}, **THEN)],
    "lost": [comment("lost-it")],
}  # fmt: skip
PAYS = {"id": "pays", "event": "client_activity", "names": ["payment"], "stage": "won"}


async def found_stairs(tx: Transaction) -> None:
    """The pipeline and its van, in a company that is there."""
    await builders.pipeline(tx, PIPELINE, STAGES, fields=FIELDS, owner_id="eve")
    await builders.resource(tx, "van")
    await builders.rule_set(tx, RULES, pipeline=PIPELINE, at=datetime.now(UTC), triggers=[PAYS])


def dates(*seconds: float) -> dict[str, str]:
    """The dates of a record so many seconds from now."""
    now = datetime.now(UTC)
    return {
        name: (now + timedelta(seconds=after)).isoformat()
        for name, after in zip(DATES, seconds, strict=False)
    }
