"""Row 16: what an e-mail says, to whom, and what can never be said in it."""

from __future__ import annotations

import email.policy
from datetime import timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, update
from sqlmodel import col

from activities.act import Act, MailIdentity
from activities.effect import Composed
from activities.house import House
from activities.providers.blobs import StoreAway
from activities.providers.blobs_disk import DiskBlobs
from activities.providers.documents import Documents
from activities.providers.mime import mailbox
from activities.providers.render_process import RenderProcess
from activities.providers.smtp import SmtpMail
from activities.reply_address import reply_address
from activities.rules.send_email import SendEmail
from activities.sending import Sender
from db.tables import Document, Employee, Record
from domain.errors import Refused
from domain.events import Outcome
from domain.journey import RuleRun
from domain.rule import Rule
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save
from tests.smtp_sink import SmtpSink

ID = "<7.1.offer.0@company.example>"
INJECTIONS = [
    "Hi\r\nBcc: thief@evil.example",
    "Hi\nBcc: thief@evil.example",
    "Hi\rBcc: thief@evil.example",
    "Hi\r\n\r\n<script>alert(1)</script>",
    "Hi\x0b\x0cBcc: thief@evil.example",
    "Hi\u2028Bcc: thief@evil.example\u2029",
    "Hi\x85Bcc: thief@evil.example",
    "Hi\x00\x1b[2J",
    "=?utf-8?q?Hi=0D=0ABcc:_thief@evil.example?=",
    "Hi\u202eelpmaxe.live@feiht",
    "Hi" * 600 + "\r\nBcc: thief@evil.example",
]
HEADERS = ["Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted"]
BODY_HEADERS = ["Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


async def compose(desk: Desk, record: int, *, secret: str = "", **params: Any) -> Composed:
    given = {"subject": "Your offer", "text": "Here it is."} | params
    async with desk.locked(record) as locked:
        identity = MailIdentity("company.example", "crm@company.example", reply_secret=SecretStr(secret))
        rule = Rule(id="offer", kind="send_email", params=given)
        act = Act(
            locked, locked.record.visit_no, rule, 0, NOON, desk.ids, identity, documents=desk.documents
        )
        return await SendEmail.model_validate(given).compose(act)


def parsed(composed: Composed) -> EmailMessage:
    content = composed.content(ID)
    assert content.isascii()  # no server has to know 8BITMIME or SMTPUTF8 for it
    return BytesParser(_class=EmailMessage, policy=email.policy.SMTP).parsebytes(content)


async def refused(desk: Desk, record: int, **params: Any) -> Refused:
    with pytest.raises(Refused) as refusal:
        await compose(desk, record, **params)
    return refusal.value


def addresses(composed: Composed) -> list[str]:
    return [recipient.address for recipient in composed.recipients]


# -- what it says ------------------------------------------------------------------------------------
async def test_it_goes_to_the_responsible_from_the_installation_by_default(desk: Desk) -> None:
    composed = await compose(desk, await desk.deal(responsible="ada"))
    message = parsed(composed)
    assert composed.sender == "crm@company.example"
    assert addresses(composed) == ["ada@company.example"]
    assert message["From"] == "crm@company.example"
    assert message["To"] == "Ada <ada@company.example>"
    assert message["Message-ID"] == ID
    assert message["Date"].datetime == NOON
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().strip() == "Here it is."


async def test_subject_and_texts_quote_values_escaped_for_where_they_go(desk: Desk) -> None:
    deal = await desk.deal(title="Größe & <b>Preis</b>")
    composed = await compose(
        desk, deal, subject="{{ record.title }}", text="{{ record.title }}", html="<p>{{ record.title }}</p>"
    )
    message = parsed(composed)
    assert composed.subject == message["Subject"] == "Größe & <b>Preis</b>"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and plain.get_content().strip() == "Größe & <b>Preis</b>"
    assert html is not None
    assert html.get_content().strip() == "<p>Größe &amp; &lt;b&gt;Preis&lt;/b&gt;</p>"
    assert message.get_content_type() == "multipart/alternative"


async def test_it_may_be_html_alone(desk: Desk) -> None:
    message = parsed(await compose(desk, await desk.deal(), text="", html="<p>Hi</p>"))
    assert message.get_content_type() == "text/html"


async def test_a_long_id_stays_in_one_piece(desk: Desk) -> None:
    composed = await compose(desk, await desk.deal())
    long = f"<{2**62}.99999.{'r' * 63}.0@{'d' * 60}.example>"
    assert f"\r\nMessage-ID: {long}\r\n".encode() in b"\r\n" + composed.content(long)


@pytest.mark.parametrize("empty", [{"subject": " {{ company.name }} "}, {"text": "{{ company.name }}\n"}])
async def test_it_fails_when_subject_or_text_is_empty(desk: Desk, empty: dict[str, str]) -> None:
    assert (await refused(desk, await desk.deal(), **empty)).reason == "text_empty"


# -- what can never be said --------------------------------------------------------------------------
async def test_no_value_becomes_a_header(desk: Desk) -> None:
    await desk.run(lambda tx: builders.employee(tx, "mal", email="mal@company.example"))
    deal = await desk.deal(responsible="mal")
    for value in (v.replace("\x00", "") for v in INJECTIONS):  # PostgreSQL keeps no NUL
        async with desk.database.transaction() as tx:
            await tx.execute(update(Record).values(title=value))
            await tx.execute(update(Employee).where(col(Employee.id) == "mal").values(name=value))
        composed = await compose(
            desk, deal, subject="{{ record.title }}", text="{{ record.title }}", sender="employee:mal",
            reply_to="employee:mal",
        )  # fmt: skip
        message = parsed(composed)
        assert sorted(message.keys()) == sorted([*HEADERS, "Reply-To", *BODY_HEADERS])
        assert [a.addr_spec for a in message["To"].addresses] == ["mal@company.example"]
        assert [a.addr_spec for a in message["From"].addresses] == ["mal@company.example"]
        assert not any(ord(c) < 32 or c in "\u2028\u2029\x85\u202e" for c in message["Subject"])
        assert all(len(line) < 998 for line in composed.content(ID).splitlines())
        assert addresses(composed) == ["mal@company.example"]


async def test_what_an_author_wrote_becomes_no_header_either(desk: Desk) -> None:
    deal = await desk.deal()
    for value in INJECTIONS:
        message = parsed(await compose(desk, deal, subject=value))
        assert sorted(message.keys()) == sorted([*HEADERS, *BODY_HEADERS])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a@b.example>\r\nRCPT TO:<thief@evil.example",
        "a@b.example> SIZE=1",
        "<a@b.example",
        "a@b.example\r\nDATA",
        "a\x00@b.example",
        "a b@c.example",
        "a@b@c.example",
        "@b.example",
        "a@",
        "a@-b.example",
        "a@b..example",
        ".a@b.example",
        '"a b"@c.example',
        "a@[127.0.0.1]",
        "a@b.example, c@d.example",
        "undisclosed: a@b.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 250 + ".example",
        "a@straße.example",  # which IDNA 2003 makes strasse.example, somebody else's
        "a\u202e@b.example",
    ],
)
def test_what_is_no_address_is_never_written_to(value: str) -> None:
    with pytest.raises(ValueError, match=r"no form in ASCII|no e-mail address"):
        mailbox(value)


async def test_a_value_that_is_no_address_fails_the_step(desk: Desk) -> None:
    deal = await desk.deal(fields={"coupon": "a@b.example>\r\nRCPT TO:<thief@evil.example"})
    assert (await refused(desk, deal, to=["{{ record.coupon }}"])).reason == "no_address"


# -- to whom -----------------------------------------------------------------------------------------
async def test_employees_departments_and_addresses_may_be_mixed_and_get_it_once(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx, emails=["clara@client.example", "Clara@Home.example"])
    deal = await desk.deal(contact=clara, responsible="ada")
    composed = await compose(
        desk, deal, to=["responsible", "{{ contact.email }}", "ADA@company.example"],
        cc=["department:sales", "clara@client.example", "boss@partner.example"],
    )  # fmt: skip
    message = parsed(composed)
    assert [a.addr_spec for a in message["To"].addresses] == [
        "ada@company.example", "clara@client.example", "clara@home.example",
    ]  # fmt: skip
    assert [a.addr_spec for a in message["Cc"].addresses] == [
        "ben@company.example", "hugo@company.example", "boss@partner.example",
    ]  # fmt: skip
    assert {r.address: r.employee for r in composed.recipients} == {
        "ada@company.example": "Ada", "clara@client.example": "", "clara@home.example": "",
        "ben@company.example": "Ben", "hugo@company.example": "Hugo", "boss@partner.example": "",
    }  # fmt: skip


async def test_one_of_several_addresses_can_be_chosen(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx, emails=["clara@client.example", "clara@home.example"])
    composed = await compose(desk, await desk.deal(contact=clara), to=["{{ contact.email.first }}"])
    assert addresses(composed) == ["clara@client.example"]


async def test_sender_and_reply_to_may_be_people_or_named_addresses(desk: Desk) -> None:
    office = "Sales Ö <sales@company.example>"
    message = parsed(await compose(desk, await desk.deal(), sender="responsible", reply_to=office))
    assert message["From"] == "Ada <ada@company.example>"
    assert message["Reply-To"] == office


async def test_who_has_no_address_is_named_and_the_others_are_served(desk: Desk) -> None:
    await desk.run(
        lambda tx: builders.employee(tx, "zoe", name="Zoe Zander", email=""),
        lambda tx: builders.employee(tx, "yan", name="Yan Young", email="not an address"),
    )
    deal = await desk.deal(responsible="ada")
    composed = await compose(desk, deal, to=["employee:zoe", "responsible"], cc=["employee:yan"])
    assert addresses(composed) == ["ada@company.example"]
    assert composed.missing == ("Zoe Zander", "Yan Young")
    alone = await refused(desk, deal, to=["employee:zoe"])
    assert (alone.reason, "Zoe Zander" in alone.message) == ("no_address", True)


async def test_a_client_without_address_is_named_too(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx, emails=[])
    deal = await desk.deal(contact=clara)
    refusal = await refused(desk, deal, to=["{{ contact.email }}"])
    assert (refusal.reason, "Clara Klein" in refusal.message) == ("no_address", True)


async def test_nobody_is_left(desk: Desk) -> None:
    day = timedelta(days=1)
    await desk.run(lambda tx: builders.absence(tx, "ada", NOON - day, NOON + day))
    deal = await desk.deal(responsible="ada")
    assert (await refused(desk, deal, skip_absent=True)).reason == "nobody"
    assert (await refused(desk, await desk.deal(responsible=None))).reason == "nobody"
    assert (await refused(desk, deal, sender="employee:nobody")).reason == "no_address"


async def test_international_addresses_are_shown_in_ascii(desk: Desk) -> None:
    composed = await compose(desk, await desk.deal(), to=["info@bücher.example", "jürgen@client.example"])
    message = parsed(composed)
    assert addresses(composed) == ["info@bücher.example", "jürgen@client.example"]
    # RFC 6857: where only ASCII may stand, an address that is not is shown as an empty group of its name
    assert [a.addr_spec for a in message["To"].addresses] == ["info@xn--bcher-kva.example"]
    assert "jürgen@client.example" in str(message["To"])
    assert (await refused(desk, await desk.deal(), sender="jürgen@client.example")).reason == "no_address"


# -- threads -----------------------------------------------------------------------------------------
async def test_where_mail_is_taken_in_answers_go_to_the_records_own_address(desk: Desk) -> None:
    deal = await desk.deal()
    message = parsed(await compose(desk, deal, secret="a secret"))
    assert message["Reply-To"] == reply_address(SecretStr("a secret"), deal, "company.example")
    own = parsed(await compose(desk, deal, secret="a secret", reply_to="responsible"))
    assert own["Reply-To"] == "Ada <ada@company.example>"
    assert parsed(await compose(desk, deal))["Reply-To"] is None


async def test_it_answers_the_last_mail_that_a_recipient_wrote_to_the_record(desk: Desk) -> None:
    deal, other = await desk.deal(), await desk.deal()
    written = ((deal, 1, "clara"), (deal, 2, "clara"), (deal, 3, "boss"), (other, 4, "clara"))
    for record, number, sender in written:
        await desk.run(
            "insert into inbound_mail"
            " (message_id, fingerprint, record_id, sender, at, in_reply_to, matched, outcome) values"
            f" ('<{number}@c.example>', '{number}', {record}, '{sender}@client.example',"
            f" '2026-03-01T0{number}:00Z',"
            f" '<0{number}@company.example>', 'thread', 'activity')"
        )
    message = parsed(await compose(desk, deal, to=["Clara@Client.Example"]))
    assert message["In-Reply-To"] == "<2@c.example>"
    assert message["References"] == "<02@company.example> <2@c.example>"
    assert parsed(await compose(desk, deal, to=["new@client.example"]))["In-Reply-To"] is None


# -- attachments -------------------------------------------------------------------------------------
async def filed(desk: Desk, tmp_path: Path, record: int, content: bytes, file: str = "offer.pdf") -> int:
    """A document of the record, as a rule would have made it."""
    blobs = DiskBlobs(tmp_path)
    desk.documents = Documents(RenderProcess(), blobs)
    digest = await blobs.put(content)
    async with desk.database.transaction() as tx:
        made = insert(Document).values(
            record_id=record, visit_no=1, template_id="offer", template_version=1, title="Offer",
            format="pdf", media_type="application/pdf", file=file, blob=digest, size=len(content), at=NOON,
        )  # fmt: skip
        return int((await tx.execute(made.returning(col(Document.id)))).scalar_one())


async def test_documents_of_the_visit_and_of_fields_go_along(desk: Desk, tmp_path: Path) -> None:
    deal = await desk.deal()
    offer, terms = [await filed(desk, tmp_path, deal, b"%PDF-" + one) for one in (b"offer", b"terms")]
    await desk.run(
        f"update record set fields = fields || '{{\"coupon\": \"{terms}\"}}' where id = {deal}",
        "insert into ledger (record_id, visit_no, rule, outcome, at, results)"
        f" values ({deal}, 1, 'paper', 'done', now(), '{{\"id\": {offer}}}')",
    )
    composed = await compose(desk, deal, attachments=["document:paper", "record.coupon"], html="<p>Hi</p>")
    files = list(parsed(composed).iter_attachments())
    assert [file.get_content() for file in files] == [b"%PDF-offer", b"%PDF-terms"]
    assert {(file.get_content_type(), file.get_filename()) for file in files} == {
        ("application/pdf", "offer.pdf")
    }
    body = parsed(composed).get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "Here it is."


async def test_the_name_of_a_file_becomes_no_header(desk: Desk, tmp_path: Path) -> None:
    deal = await desk.deal()
    document = await filed(desk, tmp_path, deal, b"%PDF-")
    await desk.run(f"update record set fields = '{{\"coupon\": \"{document}\"}}' where id = {deal}")
    for name in [*INJECTIONS, "../../etc/passwd", 'a".pdf', "Größe.pdf", "\u202efdp.exe"]:
        async with desk.database.transaction() as tx:
            await tx.execute(update(Document).values(file=name.replace("\x00", "")))
        message = parsed(await compose(desk, deal, attachments=["record.coupon"]))
        assert sorted(message.keys()) == sorted([*HEADERS, "Content-Type", "MIME-Version"])
        (file,) = message.iter_attachments()
        shown = file.get_filename() or ""
        assert shown
        assert not set(shown) & set('\r\n/\\"\u202e\u2028')
        assert sorted(set(file.keys()) - {"MIME-Version"}) == [
            "Content-Disposition", "Content-Transfer-Encoding", "Content-Type",
        ]  # fmt: skip


async def test_without_its_attachment_it_is_not_sent(desk: Desk, tmp_path: Path) -> None:
    deal, other = await desk.deal(), await desk.deal()
    theirs = await filed(desk, tmp_path, other, b"%PDF-theirs")
    lost = await filed(desk, tmp_path, deal, b"%PDF-lost")
    await desk.run(f"update document set blob = '{'0' * 64}' where id = {lost}")
    for document in ("", "none", "0", str(theirs), str(lost)):
        await desk.run(f"update record set fields = '{{\"coupon\": \"{document}\"}}' where id = {deal}")
        assert (await refused(desk, deal, attachments=["record.coupon"])).reason == "attachment_missing"
    assert (await refused(desk, deal, attachments=["document:paper"])).reason == "attachment_missing"


async def test_attachments_have_a_limit(desk: Desk, tmp_path: Path) -> None:
    deal = await desk.deal()
    document = await filed(desk, tmp_path, deal, b"%PDF-")
    await desk.run(
        f"update record set fields = '{{\"coupon\": \"{document}\"}}' where id = {deal}",
        f"update document set size = {10 * 1024 * 1024 + 1}",
    )
    assert (await refused(desk, deal, attachments=["record.coupon"])).reason == "attachments_too_large"


class Away(DiskBlobs):
    """A store that does not answer."""

    async def get(self, digest: str) -> bytes:
        raise StoreAway("the store does not answer")


async def test_while_the_store_is_away_it_is_tried_again_and_then_sent_with_its_file(
    desk: Desk, tmp_path: Path, smtp: SmtpSink
) -> None:
    params = {"subject": "Your offer", "text": "Here it is.", "attachments": ["record.coupon"]}
    rule = {"id": "offer", "kind": "send_email", "params": params, "retry_for": {"minutes": 1}}
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [rule]}))
    deal, late = await desk.deal(), await desk.deal()
    for record in (deal, late):
        document = await filed(desk, tmp_path, record, b"%PDF-offer")
        await desk.run(f"update record set fields = '{{\"coupon\": \"{document}\"}}' where id = {record}")

    async def send(record: int, blobs: DiskBlobs, after: float) -> Outcome:
        house = House(documents=Documents(RenderProcess(), blobs))
        post = SmtpMail("127.0.0.1", smtp.port, timeout=5)
        sender = Sender(desk.database, desk.book, desk.ids, house, post)
        asked = RuleRun(record_id=record, visit_no=1, rule="offer", turn=NOON, due=NOON)
        return await sender.send(asked, NOON + timedelta(seconds=after))

    away, there = Away(tmp_path), DiskBlobs(tmp_path)
    first = await send(deal, away, 0)
    assert (first.result, first.waiting, first.due) == ("pending", "retry", NOON + timedelta(seconds=1))
    assert (await desk.rows("message"), smtp.messages) == ([], [])
    assert (await send(deal, there, 1)).result == "done"
    (mail,) = smtp.messages
    assert [file.get_content() for file in mail.parsed.iter_attachments()] == [b"%PDF-offer"]
    await send(late, away, 0)
    outcome = await send(late, away, 60)
    assert (outcome.result, outcome.reason) == ("failed", "store_away")


# -- on save -----------------------------------------------------------------------------------------
def test_what_is_refused_on_save() -> None:
    text = {"subject": "Hi", "text": "Ho"}
    right = ["{{ contact.email }}", "a@b.example", "supervisor"]
    assert refused_on_save("send_email", **text, to=right, cc=right) == {}
    assert refused_on_save("send_email", **text, sender="Sales <a@b.example>", reply_to="responsible") == {}
    right = ["document:paper", "record.coupon"]
    assert refused_on_save("send_email", **text, attachments=right) == {}
    wrong = ["offer.pdf", "document:", "record.nothing", "record.amount"]
    assert set(refused_on_save("send_email", **text, attachments=wrong)) == {
        "/attachments/0", "/attachments/1", "/attachments/2", "/attachments/3",
    }  # fmt: skip
    assert refused_on_save("send_email", subject="Hi") == {"/text": "there is neither a text nor html"}
    assert refused_on_save("send_email", **text, to=[]) == {"/to": "nobody is addressed"}
    assert set(refused_on_save("send_email", **text, to=["a@b.example", "a@@b"], cc=["employee:bob"])) == {
        "/to/1", "/cc/0",
    }  # fmt: skip
    assert set(refused_on_save("send_email", **text, sender="everybody", reply_to="employee:bob")) == {
        "/sender", "/reply_to",
    }  # fmt: skip
    assert set(refused_on_save("send_email", **text, bcc=["a@b.example"])) == {"/bcc"}
