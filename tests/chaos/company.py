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


def _rule(rule_id: str, kind: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": rule_id, "kind": kind, "params": params} | more


def _comment(rule_id: str, **more: Any) -> dict[str, Any]:
    return _rule(rule_id, "add_comment", {"text": rule_id, "author": "system"}, **more)


def _mail(rule_id: str, to: str, **more: Any) -> dict[str, Any]:
    params = {"to": [to], "subject": rule_id, "text": "{{ record.title }}"}
    return _rule(rule_id, "send_email", params, **more)


def _at(field: str) -> dict[str, Any]:
    return {"schedule": {"basis": f"record.{field}"}}


THEN: dict[str, Any] = {"after_previous": True}
UNTIL_SOON = {"until": {"basis": "record.soon"}, "on_timeout": "notify"}
RULES: dict[str, list[dict[str, Any]]] = {
    "new": [
        _comment("hello"),
        _rule("call", "create_todo", {"subject": "Call them", "complete_on_exit": True}, **THEN),
        _rule("coupon", "generate_code", {"length": 12}),
        _mail("to-colleague", "responsible"),
        _comment("after-mail", **THEN),
        _mail("to-client", "{{ contact.email }}", on_unknown="ask"),
        _comment("delayed", **_at("soon")),
        _rule("told", "notify", {"text": "It is time"}, **THEN),
        _rule("patience", "wait", UNTIL_SOON),
        _comment("after-wait", **THEN),
        _comment("kept", on_exit="keep", **_at("last")),
        _rule("kept-too", "create_todo", {"subject": "Look back"}, **THEN),
        _comment("never", schedule={"after": {"hours": 1}}),
        _rule("forward", "change_stage", {"stage": "offer"}, **_at("later")),
    ],
    "offer": [
        _comment("arrived"),
        _rule("draft", "create_todo", {"subject": "Draft the offer"}, **THEN),
        _mail("offer-mail", "responsible"),
        _rule("win", "change_stage", {"stage": "won"}, **_at("last")),
    ],
    "won": [_comment("won-it"), _rule("cheer", "notify", {"text": "Well done"}, **THEN)],
    "lost": [_comment("lost-it")],
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
