"""`send_email`: one message to employees, clients, or any address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import JsonValue
from sqlalchemy import ARRAY, BigInteger, String, bindparam, func, select, text
from sqlmodel import col

from activities import mailboxes, recipients
from activities.act import Act
from activities.attached_files import attached_files
from activities.attachments import attachment_problems
from activities.effect import Composed, Header, Html, Recipient, Sending, Setting, Text
from activities.impossible import is_blank
from activities.providers.mime import Envelope, Mailbox, build, mailbox, one_line
from activities.reply_address import reply_address
from db.tables import Employee
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.plain_text import plain


class SendEmail(Sending):
    """One e-mail to all in `to` and `cc`, with a `subject`, as plain `text`, as `html` or as both.

    Recipients are any of `responsible` (the default), `supervisor`, `everybody`, `department:<id>`,
    `employee:<id>`, or one address, with a name if you like (`"Vogt, Hannes" <hv@firm.example>`). Both may
    be templates, and no value makes two recipients of one; `{{ contact.email.first }}` is the contact's
    first address, and `{{ contact.email }}`, quoted alone, each of them. With `skip_absent` employees who
    are absent are left out. `sender` (by default the installation's address) and `reply_to` are an address
    too, `responsible`, or `employee:<id>`; where mail is taken in, answers go to the record's own address by
    default. `attachments` are documents: `document:<rule>` is what an earlier
    rule of the visit made, `record.<field>` a field that holds the number of one.
    """

    kind: ClassVar[str] = "send_email"
    title: ClassVar[str] = "Send an e-mail"
    channel: ClassVar = "email"
    example: ClassVar[dict[str, JsonValue]] = {
        "to": ["{{ contact.email.first }}"],
        "cc": ["responsible"],
        "subject": "Your offer: {{ record.title }}",
        "text": "Dear {{ contact.first_name }},\n\nhere is what we talked about.",
    }
    results: ClassVar[dict[str, FieldType]] = {"message_id": "text", "recipients": "text"}
    errors: ClassVar[dict[str, str]] = {
        "no_address": "a recipient has no e-mail address; the others were served",
        "nobody": "no recipient is left: inactive, absent, or there is none",
        "text_empty": "nothing is left of the subject or the text once it is filled in",
        "attachment_missing": "a document that is to be attached is not there, or not the record's",
        "store_away": "the documents could not be read for as long as it was to be tried",
        "attachments_too_large": "the documents to be attached have more than 10 MiB",
        "refused": "the mail server refuses the message or a recipient; other recipients were served",
        "retry_for": "the mail server could not take it for as long as it was to be tried",
    }

    sender: Header = ""
    to: list[Header] = ["responsible"]
    cc: list[Header] = []
    reply_to: Header = ""
    subject: Header
    text: Text = ""
    html: Html = ""
    attachments: list[str] = []
    skip_absent: bool = False

    async def compose(self, act: Act) -> Composed:
        subject, text = act.text(self.subject, "header"), act.text(self.text)
        html = act.text(self.html, "html")
        if not subject or not (text.strip() or html.strip()):
            raise Refused("text_empty", f"the {'text' if subject else 'subject'} of the message is empty")
        missing: list[str] = []
        to = await self._boxes(act, self.to, missing)
        cc = [box for box in await self._boxes(act, self.cc, missing) if not _among(box, to)]
        if not (to or cc or missing):
            raise Refused("nobody", "no recipient is left")
        if not (to or cc):
            raise Refused("no_address", f"without an e-mail address: {', '.join(missing)}")
        sender = await self._one(act, self.sender or act.mail.sender)
        reply_to = await self._one(act, self.reply_to) if self.reply_to else _own_address(act)
        ours = await _of_employees(act, [box.address for box in (*to, *cc)])
        envelope = Envelope(sender, to, cc, reply_to, await _thread(act, [box.address for box in (*to, *cc)]))
        files = await attached_files(act, self.attachments)
        return Composed(
            sender=sender.address,
            recipients=tuple(Recipient(box.address, ours.get(box.address.lower(), "")) for box in (*to, *cc)),
            missing=tuple(dict.fromkeys(missing)),
            subject=subject,
            content=lambda message_id: build(
                message_id, act.now, envelope, subject, text, html, attachments=files
            ),
            text=text.strip() or plain(html),
            files=files,
        )

    async def _boxes(self, act: Act, written: Sequence[str], missing: list[str]) -> list[Mailbox]:
        """The mailboxes meant, each once; who has none is added to `missing`."""
        words = [word for word in written if not recipients.raw(word)]
        people = await recipients.addressed(act, words, act.now, skip_absent=self.skip_absent)
        found = [_of_person(person.name, person.email) or person.name for person in people]
        for word in written:
            if recipients.raw(word):
                found += mailboxes.of_entry(act, word)
        missing += [box for box in found if isinstance(box, str)]
        once: dict[str, Mailbox] = {}
        for box in found:
            if isinstance(box, Mailbox):
                once.setdefault(box.address.lower(), box)
        return list(once.values())

    async def _one(self, act: Act, written: str) -> Mailbox:
        """The mailbox of a sender. Raises `Refused` where it is none that a header can say."""
        found: list[Mailbox | str]
        if recipients.raw(written):
            found = mailboxes.of_entry(act, written)
        else:
            people = await recipients.addressed(act, [written], act.now)
            found = [_of_person(person.name, person.email) or person.name for person in people]
        if len(found) != 1 or isinstance(found[0], str) or not found[0].address.rpartition("@")[0].isascii():
            shown = ", ".join(box if isinstance(box, str) else box.address for box in found) or written
            raise Refused("no_address", f"cannot be written from: {shown}")
        return found[0]

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if is_blank(self.text) and is_blank(self.html):
            yield Problem(place="/text", message="there is neither a text nor html")
        yield from mailboxes.problems(self.to, setting, "/to")
        yield from mailboxes.problems(self.cc, setting, "/cc") if self.cc else ()
        yield from attachment_problems(self.attachments, setting, "/attachments")
        for place, written in (("/sender", self.sender), ("/reply_to", self.reply_to)):
            if written in ("supervisor", "everybody") or written.startswith("department:"):
                yield Problem(place=place, message=f"{written!r} is no address, responsible or employee:<id>")
            elif written:
                for problem in mailboxes.problems([written], setting, place):
                    yield problem.model_copy(update={"place": place})


def _of_person(name: str, address: str) -> Mailbox | None:
    try:
        return mailbox(address)._replace(name=one_line(name))
    except ValueError:
        return None


def _own_address(act: Act) -> Mailbox | None:
    """Where the record is answered at; None where no mail is taken in."""
    if not act.mail.reply_secret.get_secret_value():
        return None
    return Mailbox(reply_address(act.mail.reply_secret, act.record.id, act.mail.domain))


async def _thread(act: Act, addresses: Sequence[str]) -> tuple[str, ...]:
    """The last mail that one of them wrote to the record, after what that one answered."""
    asked = {"id": act.record.id, "addresses": [address.lower() for address in addresses]}
    found = (await act.tx.execute(_LAST_MAIL, asked)).one_or_none()
    return tuple(filter(None, (found.in_reply_to, found.message_id))) if found else ()


def _among(box: Mailbox, others: Sequence[Mailbox]) -> bool:
    return any(box.address.lower() == other.address.lower() for other in others)


async def _of_employees(act: Act, addresses: Sequence[str]) -> dict[str, str]:
    """The addresses, in lower case, that are an active employee's, with the employee's name."""
    email = func.lower(col(Employee.email))
    asked = select(email, col(Employee.name)).where(col(Employee.active))
    found = await act.tx.execute(asked.where(email.in_([address.lower() for address in addresses])))
    return {row[0]: row[1] for row in found}


_LAST_MAIL = text("""
select message_id, in_reply_to from inbound_mail
where record_id = :id and sender = any(:addresses) and message_id like '<%' and outcome = 'activity'
order by at desc, message_id limit 1
""").bindparams(bindparam("id", type_=BigInteger), bindparam("addresses", type_=ARRAY(String)))
