"""The pipeline that all kills run on: immediate, delayed, chained and kept rules, a wait, mails, a move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from db.creation import NewRecord
from db.engine import Transaction
from tests import builders

STAGES = {"new": "process", "offer": "process", "won": "success", "lost": "failure"}
FIELDS = [{"name": name, "type": "datetime"} for name in ("soon", "later", "last")]
CLIENT = "clara@client.example"


def rule(rule_id: str, kind: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": rule_id, "kind": kind, "params": params} | more


def comment(rule_id: str, **more: Any) -> dict[str, Any]:
    return rule(rule_id, "add_comment", {"text": rule_id, "author": "system"}, **more)


def mail(rule_id: str, to: str, **more: Any) -> dict[str, Any]:
    params = {"to": [to], "subject": rule_id, "text": "{{ record.title }}"}
    return rule(rule_id, "send_email", params, **more)


def on(field: str) -> dict[str, Any]:
    return {"schedule": {"basis": f"record.{field}"}}


THEN: dict[str, Any] = {"after_previous": True}
UNTIL_SOON = {"until": {"basis": "record.soon"}, "on_timeout": "notify"}
RULES: dict[str, list[dict[str, Any]]] = {
    "new": [
        comment("hello"),
        rule("call", "create_todo", {"subject": "Call them", "complete_on_exit": True}, **THEN),
        rule("coupon", "generate_code", {"length": 12}),
        mail("to-colleague", "responsible"),
        comment("after-mail", **THEN),
        mail("to-client", "{{ contact.email }}", on_unknown="ask"),
        comment("delayed", **on("soon")),
        rule("told", "notify", {"text": "It is time"}, **THEN),
        rule("patience", "wait", UNTIL_SOON),
        comment("after-wait", **THEN),
        comment("kept", on_exit="keep", **on("last")),
        rule("kept-too", "create_todo", {"subject": "Look back"}, **THEN),
        comment("never", schedule={"after": {"hours": 1}}),
        rule("forward", "change_stage", {"stage": "offer"}, **on("later")),
    ],
    "offer": [
        comment("arrived"),
        rule("draft", "create_todo", {"subject": "Draft the offer"}, **THEN),
        mail("offer-mail", "responsible"),
        rule("win", "change_stage", {"stage": "won"}, **on("last")),
    ],
    "won": [comment("won-it"), rule("cheer", "notify", {"text": "Well done"}, **THEN)],
    "lost": [comment("lost-it")],
}


async def found(tx: Transaction) -> int:
    """The company with its pipeline `roofs` and the rules published; answers the id of its client."""
    await builders.company(tx)
    await builders.pipeline(tx, "roofs", STAGES, fields=FIELDS, owner_id="eve")
    await builders.rule_set(tx, RULES, pipeline="roofs", at=datetime.now(UTC))
    return await builders.contact(tx, emails=[CLIENT])


def deal(number: int, client: int) -> NewRecord:
    """A deal that enters `new` at this moment: what is delayed comes in one, two and three seconds."""
    now = datetime.now(UTC)
    after = {name: now + timedelta(seconds=i + 1) for i, name in enumerate(("soon", "later", "last"))}
    return NewRecord(
        type="deal", pipeline="roofs", title=f"Roof {number}", responsible="ada", contact=client,
        fields={name: at.isoformat() for name, at in after.items()},
    )  # fmt: skip
