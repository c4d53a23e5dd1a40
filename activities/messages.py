"""A message on its way, as its row keeps it from attempt to attempt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from pydantic import BaseModel, JsonValue
from pydantic_core import to_json
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from activities.effect import Composed
from activities.providers.mail import Letter, Reply
from db.engine import Transaction
from db.rows import Rows

_FIRST, _LONGEST = timedelta(seconds=1), timedelta(minutes=10)
NO_ADDRESS = 0
"""The code of a person who has no address, among those of the mail server."""


class Message(BaseModel):
    """A message that was committed as `sending`, or was before. Its id and content never change."""

    id: UUID
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
    refused: dict[str, Reply]

    @property
    def left(self) -> list[str]:
        """The recipients that it may yet reach."""
        final = {address for address, reply in self.refused.items() if not reply.temporary}
        return [a for a in self.recipients if a not in self.accepted and a not in final]

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
    def results(self) -> dict[str, JsonValue]:
        """What later rules may quote: its id, and who got it."""
        return {"message_id": self.message_id, "recipients": [*self.accepted]}

    def again(self) -> None:
        """One more attempt; if it had failed for good, those who were refused are tried again."""
        self.attempts += 1
        if not self.left:
            self.refused = {who: reply for who, reply in self.refused.items() if reply.code == NO_ADDRESS}

    def problems(self) -> list[str]:
        """Who did not get it, and why, in words."""
        names = {address: f"{name} <{address}>" for address, name in self.employees.items()}
        return [
            f"{names.get(who, who)}: " + (f"{reply.code} {reply.text}" if reply.code else reply.text)
            for who, reply in self.refused.items()
        ]


def new_message(act: Act, channel: str, composed: Composed) -> tuple[Message, Rows]:
    """The message as it is for all its attempts, and its row."""
    message_id = f"<{act.record.id}.{act.visit_no}.{act.rule.id}.{act.n}@{act.mail.domain}>"
    message = Message(
        id=uuid4(),
        message_id=message_id,
        sender=composed.sender,
        recipients=[r.address for r in composed.recipients],
        employees={r.address: r.employee for r in composed.recipients if r.employee},
        content=composed.content(message_id),
        created_at=act.now,
        refused={name: Reply(NO_ADDRESS, "has no address") for name in composed.missing},
    )
    row = message.model_dump(exclude={"content", "refused"})
    row |= {"content": f"\\x{message.content.hex()}", "refused": _dump(message.refused)}
    return message, act.rows("message", row | {"n": act.n, "channel": channel, "subject": composed.subject})


async def read(tx: Transaction, key: Mapping[str, object]) -> Message | None:
    """The message of an act, whose `key` is `id`, `visit_no`, `rule`, `n`."""
    found = (await tx.execute(_READ, key)).mappings().one_or_none()
    if found is None:
        return None
    refused = {who: Reply(**reply) for who, reply in found["refused"].items()}
    return Message.model_validate(dict(found) | {"refused": refused})


async def keep(
    tx: Transaction, message: Message, state: str, error: str = "", sent_at: datetime | None = None
) -> None:
    """Write down how far the message has come."""
    asked = {
        "id": message.id, "state": state, "error": error, "sent_at": sent_at, "attempts": message.attempts,
        "accepted": to_json(message.accepted).decode(), "refused": to_json(_dump(message.refused)).decode(),
    }  # fmt: skip
    await tx.execute(_KEEP, asked)


def _dump(refused: Mapping[str, Reply]) -> dict[str, JsonValue]:
    return {who: {"code": reply.code, "text": reply.text} for who, reply in refused.items()}


_READ = text("""
select id, state, message_id, sender, recipients, employees, content, attempts, created_at, error, accepted,
  refused
from message where record_id = :id and visit_no = :visit_no and rule = :rule and n = :n
""").bindparams(bindparam("id", type_=BigInteger))
_KEEP = text("""
update message set state = :state, error = :error, attempts = :attempts,
  sent_at = coalesce(:sent_at, sent_at),
  accepted = cast(:accepted as jsonb), refused = cast(:refused as jsonb)
where id = :id
""").bindparams(bindparam("sent_at", type_=DateTime(timezone=True)))
