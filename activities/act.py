"""What an effect sees of the record, and the ways it has to act."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from pydantic import SecretStr

from activities.providers.documents import Documents
from db.engine import Transaction
from db.facts import RecordRow
from db.locked import Locked
from db.records import By
from db.rows import Ids, Rows
from domain.errors import Refused
from domain.rule import Rule
from domain.schedule import Schedule, instant
from domain.templates import Escape, TemplateError, render


class MailIdentity(NamedTuple):
    """Under which an installation sends: the right-hand side of Message-IDs, and the sender's address.

    `base_url` is where people and clients reach it, for links. With a `reply_secret` records are answered at
    addresses of their own, and what goes out has an id that nobody can make up. `region` is the country of
    phone numbers that name none. `servers` are those in front whose word about a sender counts (RFC 8601).
    """

    domain: str
    sender: str
    base_url: str = "http://127.0.0.1:8000"
    reply_secret: SecretStr = SecretStr("")
    region: str = "DE"
    servers: tuple[str, ...] = ()


class SmsIdentity(NamedTuple):
    """How an installation sends SMS: the provider where a rule names none, all it has, and the sender."""

    provider: str = "console"
    providers: tuple[str, ...] = ("console",)
    sender: str = ""


NOBODY = MailIdentity("jalon.localhost", "jalon@jalon.localhost")
CONSOLE = SmsIdentity()


class Act:
    """One act of one step: the record is locked, the condition holds, the key is claimed.

    `now` is the instant (UTC) the act is booked at.
    """

    def __init__(
        self, locked: Locked, visit_no: int, rule: Rule, n: int, now: datetime, ids: Ids,
        mail: MailIdentity = NOBODY, sms: SmsIdentity = CONSOLE, documents: Documents | None = None,
    ) -> None:  # fmt: skip
        self.locked, self.visit_no, self.rule, self.n, self.now = locked, visit_no, rule, n, now
        self.mail, self.sms, self._ids, self._documents = mail, sms, ids, documents

    @property
    def tx(self) -> Transaction:
        """For reading; and for writing by effects that say `executes`."""
        return self.locked.tx

    @property
    def ids(self) -> Ids:
        """Where numbers of new rows come from."""
        return self._ids

    @property
    def documents(self) -> Documents:
        """With what documents are made, and where they are kept.

        Raises `LookupError` where nothing may be waited for: outside a worker, in a hold's acts.
        """
        if self._documents is None:
            raise LookupError("documents are made and read by the queue of what is slow")
        return self._documents

    @property
    def record(self) -> RecordRow:
        return self.locked.record

    @cached_property
    def values(self) -> Mapping[str, object]:
        """Typed values by full reference."""
        return self.locked.values(self.visit_no)

    @property
    def author(self) -> str:
        """As whom the rule acts: `system`, or an employee's id."""
        if self.rule.acting == "responsible":
            return self.record.responsible_id or "system"
        return self.rule.acting

    @property
    def by(self) -> By:
        """The mover, for the write path: an automatic move, caused by this rule."""
        return By(self.author, self.now, automatic=True, rule=self.rule.id)

    def text(self, template: str, escape: Escape = "plain", language: str | None = None) -> str:
        """The template with its quotes filled in, in the pipeline's language if none is given.

        Raises `Refused` when that takes too much.
        """
        locale = language or self.locked.locale
        try:
            return render(template, self.values, escape=escape, zone=self.locked.zone, locale=locale)
        except TemplateError as error:
            raise Refused("template", str(error)) from error

    async def at(self, schedule: Schedule) -> datetime | None:
        """The instant (UTC) a schedule leads to from now; None while its date field is empty."""
        return instant(schedule, self.now, await self.locked.schedule_facts(schedule))

    async def id_for(self, table: str) -> int:
        """The id of a row to be written."""
        return await self._ids.take(self.tx, table)

    def rows(self, table: str, *rows: dict[str, object]) -> Rows:
        """Rows that belong to this step: record, visit and rule are filled in."""
        own = {"record_id": self.record.id, "visit_no": self.visit_no, "rule": self.rule.id}
        return Rows(table, [own | row for row in rows])
