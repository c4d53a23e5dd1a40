"""A client's mail: matched by reply address, thread, sender; once; and what is no client activity."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from typing import Any

import aiosmtplib
import pytest
from pydantic import SecretStr

from activities.act import Act, MailIdentity
from activities.exceptions import Entry, add
from activities.house import House
from activities.inbound_mail import Received, receive
from activities.incoming import MOST, read
from activities.mail_body import file_of
from activities.message_ids import is_ours, message_id
from activities.reply_address import record_of, reply_address
from activities.rules.schedule_meeting import ScheduleMeeting
from activities.runner import Run, Runner
from activities.steps import act
from db.doorbell import Doorbell
from db.engine import Database
from db.rows import write
from domain.rule import Rule
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from worker.mailbox import Mailbox, listening

SECRET = SecretStr("a secret of the tests")
HOUSE = House(mail=MailIdentity("company.example", "crm@company.example", reply_secret=SECRET))
OURS = message_id(SECRET, "17.1.offer.0", "company.example")
GUESSED = "<17.1.offer.0@company.example>"
OTHER = message_id(SECRET, "18.1.offer.0", "company.example")
SERVERS = ("mx.company.example",)
LATER = NOON + timedelta(hours=1)
WAIT = {"id": "answer", "kind": "wait", "params": {"until": {"after": {"days": 3}}, "ends_on": ["email"]}}


def mail(sender: str = "clara@client.example", text: str = "Yes, please.", **headers: str) -> bytes:
    message = EmailMessage()
    given = {"From": sender, "To": "crm@company.example", "Subject": "Re: Your offer"}
    given |= {"Message-ID": "<1@c.example>"} | {n.replace("_", "-"): value for n, value in headers.items()}
    for name, value in given.items():
        message[name] = value
    message.set_content(text)
    return message.as_bytes()


def bounce(message_id: str, recipient: str, action: str = "failed") -> bytes:
    """As RFC 3464 has it."""
    lines = [
        "From: mailer-daemon@client.example", "To: crm@company.example", "Subject: Undelivered",
        "Message-ID: <b@c.example>", "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"', "",
        "--b", "Content-Type: text/plain", "", "It did not arrive.",
        "--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.client.example", "",
        f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 no such user", "",
        "--b", "Content-Type: message/rfc822", "", f"Message-ID: {message_id}", "Subject: Offer", "", "Hi",
        "--b--", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


async def taken(desk: Desk, raw: bytes, *envelope: Any, house: House = HOUSE, **more: Any) -> Received:
    async with desk.database.transaction() as tx:
        return await receive(tx, desk.book, desk.ids, house, read(raw, *envelope, **more), LATER)


async def waiting_deal(desk: Desk, **more: Any) -> int:
    """A deal of Clara's that waits for her answer."""
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [WAIT]}))
    async with desk.database.transaction() as tx:
        clara = await builders.contact(tx)
    deal = await desk.deal(contact=clara, **more)
    async with desk.locked(deal) as locked:
        runner = Runner(locked, HOUSE, desk.ids, NOON)
        assert (await act(runner, Run(1, "answer", turn=NOON, due=NOON))).result == "open"
        await runner.flush()
    return deal


async def sent(desk: Desk, deal: int, message_id: str = OURS, to: str = "clara@client.example") -> None:
    """A message that a rule of the deal has sent."""
    await desk.run(
        "insert into message (id, record_id, visit_no, rule, channel, state, message_id, sender, recipients,"  # type: ignore[arg-type]
        f" content, created_at, accepted) values (gen_random_uuid(), {deal}, 1, 'offer', 'email', 'sent',"
        f" '{message_id}', 'crm@company.example', '[\"{to}\"]', '', '{NOON.isoformat()}', '[\"{to}\"]')"
    )


async def told(desk: Desk) -> list[tuple[str, str]]:
    return [(row["employee_id"], row["body"]) for row in await desk.rows("notification", order="id")]


async def waits_still(desk: Desk, deal: int) -> bool:
    return (await desk.row("hold", f"record_id = {deal}"))["outcome"] == ""


# -- whose it is -------------------------------------------------------------------------------------
async def test_a_mail_to_its_reply_address_belongs_to_the_record_and_ends_its_wait(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    to = reply_address(SECRET, deal, "company.example")
    received = await taken(desk, mail("Clara@client.example", To=f"Sales <{to.upper()}>"))
    assert (received.outcome, received.record) == ("activity", deal)
    assert [bell.record_id for bell in received.bells] == [deal]
    assert not await waits_still(desk, deal)
    activity = await desk.row("client_activity")
    assert (activity["external_id"], activity["type"]) == ("email:<1@c.example>", "email")
    assert (activity["record_id"], activity["at"]) == (deal, LATER)
    kept = await desk.row("inbound_mail")
    assert (kept["matched"], kept["record_id"], kept["subject"]) == ("address", deal, "Re: Your offer")


async def test_the_recipient_of_the_envelope_counts_too(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    to = reply_address(SECRET, deal, "company.example")
    received = await taken(desk, mail(), "clara@client.example", [to])
    assert received.record == deal


@pytest.mark.parametrize("forged", ["reply+{}.aaaaaaaaaaaaaaaa@company.example", "reply+{}@company.example"])
async def test_a_forged_reply_address_is_none(desk: Desk, forged: str) -> None:
    deal = await waiting_deal(desk)
    received = await taken(desk, mail("thief@evil.example", To=forged.format(deal)))
    assert (received.outcome, received.record) == ("unknown", None)
    assert await waits_still(desk, deal)


def test_the_address_of_one_record_is_not_anothers() -> None:
    own = reply_address(SECRET, 17, "company.example")
    assert record_of(SECRET, [own]) == 17
    assert record_of(SECRET, [own.replace("+17.", "+18.")]) is None
    assert record_of(SecretStr("another"), [own]) is None
    assert record_of(SecretStr(""), [reply_address(SecretStr(""), 17, "company.example")]) is None


async def test_an_answer_belongs_to_the_record_of_the_message_it_answers(desk: Desk) -> None:
    deal, other = await waiting_deal(desk), await desk.deal()
    await sent(desk, deal)
    await sent(desk, other, OTHER)
    headers = {"References": f"{OTHER} {OURS}"}
    received = await taken(desk, mail(In_Reply_To=OURS, **headers))
    assert (received.outcome, received.record) == ("activity", deal)
    assert (await desk.row("inbound_mail"))["matched"] == "thread"
    # the nearest reference counts where no In-Reply-To is
    again = await taken(desk, mail(Message_ID="<2@c.example>", **headers))
    assert again.record == deal


async def test_an_answer_to_a_clients_own_mail_belongs_there_by_what_that_answered(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal)
    headers = {"In_Reply_To": "<1@c.example>", "Message_ID": "<2@c.example>"}
    received = await taken(desk, mail(References=f"{OURS} <1@c.example>", **headers))
    assert (received.outcome, received.record) == ("activity", deal)
    # anybody can name a client's own mail
    received = await taken(desk, mail("thief@evil.example", **headers))
    assert (received.outcome, received.record) == ("unknown", None)


async def test_any_other_mail_belongs_to_its_sender_and_ends_the_waits_of_all_records(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    received = await taken(desk, mail("Clara <CLARA@Client.Example>"))
    assert (received.outcome, received.record) == ("activity", None)
    assert not await waits_still(desk, deal)
    clara = (await desk.row("contact"))["id"]
    kept = await desk.row("inbound_mail")
    assert (kept["matched"], kept["contact_id"], kept["sender"]) == ("sender", clara, "clara@client.example")


async def test_a_company_is_found_by_its_address_where_no_contact_is(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        company = await builders.client_company(tx, emails=["office@client.example"])
    await taken(desk, mail("office@client.example"))
    assert (await desk.row("client_activity"))["company_id"] == company


async def test_the_mail_of_somebody_unknown_is_kept_and_does_nothing(desk: Desk) -> None:
    assert (await taken(desk, mail("new@client.example"))).outcome == "unknown"
    assert await desk.rows("client_activity") == []
    assert (await desk.row("inbound_mail"))["sender"] == "new@client.example"


# -- once --------------------------------------------------------------------------------------------
async def test_a_mail_is_taken_once_however_often_it_is_delivered(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    outcomes = await asyncio.gather(*(taken(desk, mail()) for _ in range(5)))
    assert sorted(one.outcome for one in outcomes) == ["activity", *["already_known"] * 4]
    assert len(await desk.rows("client_activity")) == 1
    assert not await waits_still(desk, deal)


async def test_a_message_id_that_a_stranger_used_first_swallows_nothing(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    forged = b"Authentication-Results: mx.company.example; dmarc=fail\r\n" + mail()
    mails = [mail("thief@evil.example"), forged, mail(), mail(text="And one more thing"), mail()]
    assert [(await taken(desk, raw, servers=SERVERS)).outcome for raw in mails] == [
        "unknown", "forged", "activity", "activity", "already_known",
    ]  # fmt: skip
    assert not await waits_still(desk, deal)
    assert len(await desk.rows("client_activity")) == 2


async def test_the_way_a_mail_came_makes_no_other_of_it(desk: Desk) -> None:
    await waiting_deal(desk)
    trace = b"Received: from a by b\r\nReturn-Path: <c@c.example>\r\nDelivered-To: s@company.example\r\n"
    ways = [mail(), trace + mail(), mail().replace(b"\n", b"\r\n"), mail() + b"\r\n"]
    assert [(await taken(desk, raw)).outcome for raw in ways] == ["activity", *["already_known"] * 3]


async def test_without_a_message_id_the_content_says_which_it_is(desk: Desk) -> None:
    await waiting_deal(desk)
    raw = mail().replace(b"Message-ID: <1@c.example>\n", b"")
    assert [(await taken(desk, one)).outcome for one in (raw, raw, raw + b"PS")] == [
        "activity", "already_known", "activity",
    ]  # fmt: skip


# -- what is no client activity ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; x=y"},
        {"Precedence": "bulk"},
        {"X_Auto_Response_Suppress": "All"},
        {"Return_Path": "<>"},
    ],
)
async def test_what_a_program_wrote_ends_no_wait(desk: Desk, headers: dict[str, str]) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal)
    received = await taken(desk, mail(In_Reply_To=OURS, **headers))
    assert (received.outcome, received.record) == ("automatic", deal)
    assert await waits_still(desk, deal)
    assert await desk.rows("client_activity") == []


async def test_a_person_may_say_that_no_program_wrote_it(desk: Desk) -> None:
    await waiting_deal(desk)
    assert (await taken(desk, mail(Auto_Submitted="no"))).outcome == "activity"


async def test_a_mail_without_a_return_path_was_written_by_a_program(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    assert (await taken(desk, mail(), "", ["crm@company.example"])).outcome == "automatic"
    assert await waits_still(desk, deal)


async def test_an_employees_answer_is_not_the_clients(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    to = reply_address(SECRET, deal, "company.example")
    received = await taken(desk, mail("Ada <ada@company.example>", To=to))
    assert (received.outcome, received.record) == ("employee", deal)
    assert await waits_still(desk, deal)


async def test_a_bounce_is_written_down_at_the_message_that_did_not_arrive(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal, to="Clara@Client.Example")
    assert (await taken(desk, bounce(OURS, "clara@client.example"))).outcome == "bounce"
    message = await desk.row("message")
    assert (message["accepted"], message["state"]) == ([], "sent")
    said = {"code": 550, "text": "5.1.1 smtp; 550 no such user"}
    assert message["refused"] == {"clara@client.example": said}
    assert (message["delivery"], message["delivery_at"]) == ("failed", LATER)
    assert message["delivery_error"] == "clara@client.example: 5.1.1 smtp; 550 no such user"
    told = await desk.row("notification")
    assert (told["employee_id"], told["record_id"], told["rule"]) == ("ada", deal, "offer")
    assert "clara@client.example: 5.1.1 smtp; 550 no such user" in told["body"]
    event, rule, _, detail = (await desk.journal(deal))[-1]
    assert (event, rule, detail["recipients"]) == ("bounced", "offer", ["clara@client.example"])
    assert await waits_still(desk, deal)


async def test_an_invitation_that_did_not_arrive_is_told_and_its_answer_finds_the_record(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    async with desk.locked(deal) as locked:
        rule = Rule(id="meet", kind="schedule_meeting", params={})
        at_work = Act(locked, 1, rule, 0, NOON, desk.ids, HOUSE.mail)
        effect = ScheduleMeeting.model_validate({"participants": ["{{ contact.email.first }}"]})
        await write(locked.tx, (await effect.apply(at_work)).rows)
    await desk.run("update invitation set state = 'sent'")
    own = (await desk.row("invitation"))["message_id"]
    assert is_ours(SECRET, own)
    assert (await taken(desk, mail(In_Reply_To=own))).record == deal
    received = await taken(desk, bounce(own, "clara@client.example"))
    assert (received.outcome, received.record) == ("bounce", deal)
    assert (await desk.row("invitation"))["state"] == "failed"
    ((who, said),) = await told(desk)
    assert (who, "The invitation to" in said, "no such user" in said) == ("ada", True, True)


@pytest.mark.parametrize(
    ("message_id", "recipient", "action"),
    [
        ("<another@company.example>", "clara@client.example", "failed"),
        (GUESSED, "clara@client.example", "failed"),
        (OTHER, "clara@client.example", "failed"),
        (OURS, "thief@evil.example", "failed"),
        (OURS, "clara@client.example", "delayed"),
    ],
)
async def test_a_report_of_nothing_we_know_changes_nothing(
    desk: Desk, message_id: str, recipient: str, action: str
) -> None:
    deal = await desk.deal()
    await sent(desk, deal, GUESSED if message_id == GUESSED else OURS)
    assert (await taken(desk, bounce(message_id, recipient, action))).outcome == "automatic"
    message = await desk.row("message")
    assert (message["accepted"], message["refused"]) == (["clara@client.example"], {})


# -- exceptions --------------------------------------------------------------------------------------
async def excepted(desk: Desk, value: str = "client.example", kind: Any = "domain") -> None:
    await desk.run(lambda tx: add(tx, [Entry(value, kind)], "ada", NOON))


async def test_the_mail_of_somebody_on_the_exception_list_is_kept_aside(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await excepted(desk)
    assert (await taken(desk, mail())).outcome == "quarantined"
    assert await waits_still(desk, deal)
    assert await desk.rows("client_activity") == []
    row = await desk.row("quarantined")
    assert (row["channel"], row["entry"]) == ("email", "client.example")
    assert row["sender"] == "clara@client.example"
    assert (row["external_id"], row["at"], row["detail"]["subject"]) == (
        "email:<1@c.example>", LATER, "Re: Your offer",
    )  # fmt: skip
    assert (await desk.row("inbound_mail"))["contact_id"] is None


async def test_an_answer_to_a_known_thread_is_attached_all_the_same(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await excepted(desk, "clara@client.example", "email")
    await sent(desk, deal)
    assert (await taken(desk, mail(In_Reply_To=OURS))).outcome == "activity"
    assert not await waits_still(desk, deal)
    assert await desk.rows("quarantined") == []


async def test_a_mail_to_a_record_in_the_bin_is_attached_and_does_nothing(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal)
    await desk.does(deal, "delete_record", rule="purge")
    received = await taken(desk, mail(In_Reply_To=OURS))
    assert (received.outcome, received.record, received.bells) == ("activity", deal, ())


# -- whatever the bytes are --------------------------------------------------------------------------
def nested(depth: int) -> bytes:
    whole = MIMEMultipart("report")
    lines = [f'Content-Type: multipart/report; boundary="{n}"\n\n--{n}\n' for n in range(depth)]
    return ("".join(lines) + str(whole)).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 1000,
        b"From: \xff\xfe\nSubject: =?no-such-charset?q?=E4?=\nTo: ,;:<>\n\n\xff",
        b"From: a@b.example\x00\r\nMessage-ID: <a@b>\x00\r\nSubject: a\x00b\r\n\r\n",
        b"From: " + b"(" * 100_000 + b"\n\n",
        b"Subject: " + b"=?utf-8?q?=ff?= " * 20_000 + b"\n\n",
        nested(2000),
    ],
    ids=["nothing", "zeros", "charset", "NUL", "brackets", "words", "nested"],
)
async def test_nothing_a_mail_holds_breaks_the_reading(desk: Desk, raw: bytes) -> None:
    assert (await taken(desk, raw)).outcome in ("unknown", "automatic")
    assert len(await desk.rows("inbound_mail")) == 1


def test_a_subject_is_one_line_as_people_read_it() -> None:
    read_ = read(b"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe=0D=0ABcc:_x?=\n\n")
    assert read_.subject == "Größe Bcc: x"


# -- what it says ------------------------------------------------------------------------------------
async def test_what_a_client_wrote_is_kept_with_the_files(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    message = EmailMessage()
    message["From"], message["Message-ID"] = "clara@client.example", "<1@c.example>"
    message["To"] = reply_address(SECRET, deal, "company.example")
    message.set_content("Grüße,\nClara", charset="iso-8859-1")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    message.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="Größe ü.pdf")
    message.add_attachment("a plan", filename="plan\r\n.txt".replace("\r\n", ""))
    await taken(desk, message.as_bytes())
    kept = await desk.row("inbound_mail")
    assert kept["text"] == "Grüße,\nClara"
    assert kept["attachments"] == [
        {"name": "Größe ü.pdf", "media_type": "application/pdf", "size": 6},
        {"name": "plan.txt", "media_type": "text/plain", "size": 7},
    ]
    file, content = file_of(kept["content"], 0) or pytest.fail("no file")
    assert (file.name, content) == ("Größe ü.pdf", b"%PDF-1")
    assert file_of(kept["content"], 2) is None


async def test_html_alone_is_read_as_text(desk: Desk) -> None:
    html = "<head><style>p {}</style></head><p>Yes,<br>please &amp; soon</p><script>alert(1)</script>"
    raw = mail().replace(b"text/plain", b"text/html").replace(b"Yes, please.", html.encode())
    assert read(raw).body.text == "Yes,\nplease & soon"


async def test_nothing_is_kept_of_what_is_kept_aside_and_of_the_unknown_the_text(desk: Desk) -> None:
    await excepted(desk)
    await taken(desk, mail())
    await taken(desk, mail("new@other.example", Message_ID="<2@c.example>"))
    aside, unknown = await desk.rows("inbound_mail", order="id")
    assert (aside["text"], aside["content"]) == ("", None)
    assert (unknown["text"], unknown["content"]) == ("Yes, please.", None)


# -- over SMTP ---------------------------------------------------------------------------------------
async def hand_over(port: int, raw: bytes, to: str, sender: str = "clara@client.example") -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port) as client:
        await client.sendmail(sender, [to], raw)


def mailbox(database: Database) -> Mailbox:
    async def away() -> Any:
        raise RuntimeError("Temporal is away")

    return Mailbox(database, Doorbell(database, away, "jalon"), HOUSE, lambda: LATER)


async def test_the_listener_takes_a_mail_once_and_thanks_for_it_twice(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    to = reply_address(SECRET, deal, "company.example")
    async with listening(mailbox(desk.database), "127.0.0.1", 0, "mx.company.example") as port:
        for _ in range(2):
            await hand_over(port, mail(To="hidden@company.example"), to)
        await hand_over(port, mail("new@client.example", Message_ID="<2@c.example>"), "crm@company.example")
    assert not await waits_still(desk, deal)
    assert len(await desk.rows("client_activity")) == 1
    assert [row["outcome"] for row in await desk.rows("inbound_mail")] == ["activity", "unknown"]


async def test_the_listener_asks_to_come_again_while_the_database_is_away() -> None:
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))  # nobody listens there
        nowhere = Database(f"postgresql://nobody@127.0.0.1:{taken_port.getsockname()[1]}/none")
        async with listening(mailbox(nowhere), "127.0.0.1", 0, "mx.company.example") as port:
            with pytest.raises(aiosmtplib.SMTPDataError) as refused:
                await hand_over(port, mail(), "crm@company.example")
        await nowhere.close()
    assert refused.value.code == 451


async def test_a_mail_that_is_too_large_is_refused_for_good(desk: Desk) -> None:
    async with listening(mailbox(desk.database), "127.0.0.1", 0, "mx.company.example") as port:
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await hand_over(port, mail() + b"x" * MOST, "crm@company.example")
    assert refused.value.code == 552
    assert await desk.rows("inbound_mail") == []
