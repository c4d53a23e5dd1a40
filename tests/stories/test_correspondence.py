"""What was written to a client and what the client wrote can be read with the record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from activities.act import MailIdentity
from activities.bounces import bounced
from activities.catalogue import nature
from activities.client import Heard, record_activity
from activities.house import House
from activities.inbound_mail import receive
from activities.incoming import Failure, Report, read
from activities.providers.console import ConsoleMail
from activities.providers.sms_console import ConsoleSms
from activities.sending import Sender
from db.engine import Database
from db.recycle_bin import purge
from db.rows import Ids
from db.rulebook import Rulebook
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import Api, Stored

SECRET = SecretStr("a secret of the tests")
HOUSE = House(mail=MailIdentity("company.example", "crm@company.example", reply_secret=SECRET))
CLARA = "+491701234567"
RULES: list[dict[str, Any]] = [
    {"id": "offer", "kind": "send_email", "params": {
        "to": ["{{ contact.email.first }}"], "subject": "Your offer",
        "html": "<p>Dear {{ contact.first_name }},</p><p>here it is.</p>"}},
    {"id": "remind", "kind": "send_sms", "params": {
        "recipients": ["{{ contact.phone }}"], "text": "We come at nine."}},
]  # fmt: skip


class Office:
    """A deal of Clara's, and the worker that writes to her."""

    def __init__(self, database: Database) -> None:
        self.database, self.ids, self.book = database, Ids(), Rulebook(nature)
        self.sender = Sender(database, self.book, self.ids, HOUSE, ConsoleMail(), {"console": ConsoleSms()})
        self.deal = self.clara = 0

    async def open(self) -> None:
        async with self.database.transaction() as tx:
            await builders.rule_set(tx, {"new": RULES})
            self.clara = await builders.contact(tx, phones=[CLARA])
            self.deal = await builders.deal(tx, contact=self.clara, responsible="ada")

    async def sends(self, rule: str, after: int) -> None:
        at = NOON + timedelta(minutes=after)
        asked = RuleRun(record_id=self.deal, visit_no=1, rule=rule, turn=NOON, due=at)
        outcome = await self.sender.send(asked, at)
        assert outcome.result == "done"

    async def receives(self, after: int, *lines: str) -> None:
        raw = "\r\n".join(lines).encode()
        async with self.database.transaction() as tx:
            at = NOON + timedelta(minutes=after)
            await receive(tx, self.book, self.ids, HOUSE, read(raw), at)

    async def hears(self, after: int, kind: str, detail: dict[str, Any]) -> None:
        at = NOON + timedelta(minutes=after)
        heard = Heard(f"{kind} {after}", kind, at, None, self.clara, None, "gateway", detail)
        async with self.database.transaction() as tx:
            await record_activity(tx, self.book, self.ids, HOUSE, heard, at)


async def test_texts_of_both_sides_stand_with_the_record_in_order(api: Api, database: Database) -> None:
    office = Office(database)
    await office.open()
    await office.sends("offer", 0)
    (sent,) = (await api.seen(f"/records/{office.deal}/messages"))["items"]
    assert sent["text"] == "Dear Clara,\n\nhere it is."
    head = ("From: clara@client.example", "Message-ID: <1@c.example>", "Subject: Re: Your offer")
    await office.receives(1, *head, f"In-Reply-To: {sent['message_id']}", "", "Yes, please.")
    await office.receives(2, "From: clara@client.example", "Message-ID: <2@c.example>", "", "One more thing.")
    await office.sends("remind", 3)
    await office.hears(4, "sms", {"from": CLARA, "to": "Firm", "text": "Ten is better."})
    await office.hears(5, "call", {"seconds": 10})
    await office.receives(6, "From: x@y.example", f"In-Reply-To: {sent['message_id']}", "", "Buy this.")

    items = (await api.seen(f"/records/{office.deal}/correspondence"))["items"]
    assert [(one["direction"], one["channel"], one["text"], one["state"]) for one in items] == [
        ("out", "email", "Dear Clara,\n\nhere it is.", "sent"),
        ("in", "email", "Yes, please.", "activity"),
        ("in", "email", "One more thing.", "activity"),
        ("out", "sms", "We come at nine.", "sent"),
        ("in", "sms", "Ten is better.", "activity"),
        ("in", "email", "Buy this.", "stranger"),
    ]
    assert (items[0]["recipients"], items[0]["rule"]) == (["clara@client.example"], "offer")
    assert (items[1]["sender"], items[1]["subject"]) == ("clara@client.example", "Re: Your offer")
    first = await api.seen(f"/records/{office.deal}/correspondence", limit=4)
    rest = await api.seen(f"/records/{office.deal}/correspondence", limit=4, after=first["next"])
    assert first["items"] + rest["items"] == items
    assert rest["next"] is None
    assert (await api.get("/records/404/correspondence")).status_code == 404


async def test_what_did_not_arrive_is_listed_over_all_records(api: Api, database: Database) -> None:
    office = Office(database)
    await office.open()
    await office.sends("offer", 0)
    await office.sends("remind", 1)
    assert (await api.seen("/failed-messages"))["items"] == []
    messages = (await api.seen(f"/records/{office.deal}/messages"))["items"]
    report = Report(messages[0]["message_id"], (Failure("clara@client.example", "5.1.1 no such user"),))
    async with database.transaction() as tx:
        assert await bounced(tx, SECRET, report, NOON) == office.deal
        await tx.execute(text("update message set state = 'unknown' where channel = 'sms'"))
    first = await api.seen("/failed-messages", limit=1)
    second = await api.seen("/failed-messages", limit=1, before=first["next"])
    assert second["next"] is None
    shown = [(one["channel"], one["state"], one["error"]) for one in first["items"] + second["items"]]
    assert shown == [
        ("sms", "unknown", ""), ("email", "sent", "clara@client.example: 5.1.1 no such user"),
    ]  # fmt: skip
    items = (await api.seen(f"/records/{office.deal}/correspondence"))["items"]
    assert [one["delivery"] for one in items] == ["failed", ""]
    told = (await api.seen(f"/records/{office.deal}/notifications"))["items"]
    assert [one["employee_id"] for one in told] == ["ada"]


async def test_once_a_record_is_purged_nothing_of_what_was_written_is_kept(
    api: Api, database: Database, stored: Stored
) -> None:
    office = Office(database)
    await office.open()
    await office.sends("offer", 0)
    await office.sends("remind", 1)
    (sent, _) = (await api.seen(f"/records/{office.deal}/messages"))["items"]
    await office.receives(1, "From: clara@client.example", f"In-Reply-To: {sent['message_id']}", "", "Yes.")
    assert (await stored("select text from inbound_mail")) == [{"text": "Yes."}]
    async with database.transaction() as tx:
        await tx.execute(text("update record set deleted_at = now() - interval '10 years'"))
        assert await purge(tx, NOON) == 1
    assert await stored("select id from inbound_mail") == []
    asked = "select distinct convert_from(content, 'UTF8') as content, text, subject from message"
    kept = await stored(asked)
    assert kept == [{"content": "", "text": "", "subject": ""}]
