"""Messages on their way, as their rows keep them from attempt to attempt: an act's e-mail, or its SMS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.deliveries import adopt
from activities.effect import Composed, Recipient
from activities.message_ids import message_id as new_id
from activities.providers.mail import Letter, Reply
from activities.providers.sms import Sms
from db.engine import Transaction
from db.rows import Rows

Channel = Literal["email", "sms"]
_FIRST, _LONGEST = timedelta(seconds=1), timedelta(minutes=10)
NO_ADDRESS: Final = 0
"""The code of a person who has no address, among those of the mail server."""
BY_PROVIDER: Final = 1
"""The code of a refusal by who has no codes of RFC 5321."""
UNREACHABLE: Final[Mapping[Channel, tuple[str, str]]] = {
    "email": ("no_address", "has no address"), "sms": ("no_mobile", "has no mobile number"),
}  # fmt: skip
"""As what a step fails of whose recipients one has no address, and in words."""


class Message(BaseModel):
    """A message that was committed as `sending`, or was before. Its id and content never change.

    An SMS has one recipient; of a person without a number, none.
    """

    id: UUID
    channel: Channel = "email"
    state: str = "sending"
    message_id: str
    sender: str
    recipients: list[str]
    employees: dict[str, str]
    content: bytes
    attempts: int = 1
    created_at: datetime
    error: str = ""
    accepted: list[str] = []
    doubtful: list[str] = []
    refused: dict[str, Reply]
    provider: str = ""
    provider_id: str = ""
    segments: int = 0

    @property
    def left(self) -> list[str]:
        """The recipients that it may yet reach."""
        final = {address for address, reply in self.refused.items() if not reply.temporary}
        return [a for a in self.recipients if a not in self.accepted and a not in final]

    @property
    def unsure(self) -> list[str]:
        """The recipients whom an attempt may have reached, and of whom nothing better is known."""
        return [address for address in self.doubtful if address not in self.accepted]

    @property
    def to_employees(self) -> bool:
        """Whether all it may yet reach are addresses of employees."""
        return all(address in self.employees for address in self.left)

    @property
    def delay(self) -> timedelta:
        """Until the next attempt: 1 s, doubling to 10 min."""
        return min(_FIRST * (1 << min(self.attempts - 1, 10)), _LONGEST)

    @property
    def letter(self) -> Letter:
        """What is handed over: to those who have not taken it."""
        return Letter(self.message_id, self.sender, tuple(self.left), self.content)

    @property
    def sms(self) -> Sms:
        """What is handed over to the one recipient."""
        return Sms(self.message_id, self.sender, self.left[0], self.content.decode())

    def again(self) -> None:
        """One more attempt; if it had failed for good, those who were refused are tried again."""
        self.state, self.attempts = "sending", self.attempts + 1
        if not self.left:
            self.refused = {who: reply for who, reply in self.refused.items() if reply.code == NO_ADDRESS}

    def doubt(self) -> None:
        """Nobody knows of whom it may yet reach whether this attempt has reached him."""
        self.doubtful = [*self.doubtful, *(who for who in self.left if who not in self.doubtful)]

    def problems(self) -> list[str]:
        """Who did not get it, and why, in words."""
        return [
            f"{self.named(who)}: " + (f"{reply.code} " if reply.code > BY_PROVIDER else "") + reply.text
            for who, reply in self.refused.items()
        ]

    def told(self, error: str) -> str:
        """What went wrong, of an SMS with whom it was for: there are others beside it."""
        return f"{self.named(self.recipients[0])}: {error}" if self.channel == "sms" else error

    def named(self, who: str) -> str:
        """A recipient, with the name of the employee it is."""
        return f"{self.employees[who]} <{who}>" if who in self.employees else who


def results(messages: Sequence[Message]) -> dict[str, JsonValue]:
    """What later rules may quote: the ids, who got it, and in how many parts."""
    taken: list[JsonValue] = [who for message in messages for who in message.accepted]
    if messages[0].channel == "email":
        return {"message_id": messages[0].message_id, "recipients": taken}
    ids: list[JsonValue] = [message.message_id for message in messages if message.accepted]
    parts = sum(message.segments for message in messages if message.accepted)
    return {"message_ids": ids, "recipients": taken, "segments": parts}


def new_messages(act: Act, channel: Channel, composed: Composed) -> tuple[list[Message], Rows]:
    """The messages of an act as they are for all attempts, and their rows."""
    made = [_email(act, composed)] if channel == "email" else _texts(act, composed)
    rows = []
    for message in made:
        row = message.model_dump(exclude={"content", "refused"})
        row |= {"content": f"\\x{message.content.hex()}", "refused": _dump(message.refused)}
        files = [{"name": f.name, "media_type": f.media_type, "size": len(f.content)} for f in composed.files]
        said = {"subject": composed.subject, "text": composed.text, "attachments": files}
        rows.append(row | said | {"n": act.n})
    return made, act.rows("message", *rows)


def _email(act: Act, composed: Composed) -> Message:
    message_id = new_id(act.mail.reply_secret, _key(act), act.mail.domain)
    _, words = UNREACHABLE["email"]
    return Message(
        id=uuid4(), message_id=message_id, sender=composed.sender,
        recipients=[r.address for r in composed.recipients],
        employees={r.address: r.employee for r in composed.recipients if r.employee},
        content=composed.content(message_id), created_at=act.now,
        refused={name: Reply(NO_ADDRESS, words) for name in composed.missing},
    )  # fmt: skip


def _texts(act: Act, composed: Composed) -> list[Message]:
    """One each. The idempotency keys count, so that no number stands in them."""
    _, words = UNREACHABLE["sms"]
    made = []
    to: list[Recipient | str] = [*composed.recipients, *composed.missing]
    for number, one in enumerate(to, 1):
        key = f"{_key(act)}.{number}@{act.mail.domain}"
        message = Message(
            id=uuid4(), channel="sms", message_id=key, sender=composed.sender, recipients=[], employees={},
            content=composed.content(key), created_at=act.now, refused={}, provider=composed.provider,
            segments=composed.segments,
        )  # fmt: skip
        if isinstance(one, Recipient):
            message.recipients = [one.address]
            message.employees = {one.address: one.employee} if one.employee else {}
        else:
            message.refused = {one: Reply(NO_ADDRESS, words)}
        made.append(message)
    return made


def _key(act: Act) -> str:
    return f"{act.record.id}.{act.visit_no}.{act.rule.id}.{act.n}"


async def read(tx: Transaction, key: Mapping[str, object]) -> list[Message]:
    """The messages of an act, whose `key` is `id`, `visit_no`, `rule`, `n`, in the order written."""
    found = (await tx.execute(_READ, key)).mappings()
    return [Message.model_validate(dict(row) | {"refused": _replies(row["refused"])}) for row in found]


async def keep(tx: Transaction, message: Message, sent_at: datetime | None = None) -> None:
    """Write down how far the message has come, and take over what its provider reported before."""
    if message.provider_id:
        await adopt(tx, message.id, message.provider, message.provider_id)
    asked = {
        "id": message.id, "state": message.state, "error": message.error, "sent_at": sent_at,
        "attempts": message.attempts, "accepted": to_json(message.accepted).decode(),
        "doubtful": to_json(message.doubtful).decode(),
        "refused": to_json(_dump(message.refused)).decode(),
    }  # fmt: skip
    await tx.execute(_KEEP, asked)


def _replies(refused: Mapping[str, Mapping[str, object]]) -> dict[str, Reply]:
    return {who: Reply(**reply) for who, reply in refused.items()}  # type: ignore[arg-type]  # as `_dump` wrote it


def _dump(refused: Mapping[str, Reply]) -> dict[str, JsonValue]:
    return {who: {"code": reply.code, "text": reply.text} for who, reply in refused.items()}


_READ = text("""
select id, channel, state, message_id, sender, recipients, employees, content, attempts, created_at, error,
  accepted, doubtful, refused, provider, provider_id, segments
from message where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n
order by length(message_id), message_id
""").bindparams(bindparam("id", type_=BigInteger))
_KEEP = text("""
update message set state = :state, error = :error, attempts = :attempts,
  sent_at = coalesce(:sent_at, sent_at),
  accepted = cast(:accepted as jsonb), doubtful = cast(:doubtful as jsonb), refused = cast(:refused as jsonb)
where id = :id
""").bindparams(bindparam("sent_at", type_=DateTime(timezone=True)))
