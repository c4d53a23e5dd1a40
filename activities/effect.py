"""The base of all effects: fields are parameters, the docstring is the documentation, `apply` is the effect.

A kind is one file in `activities/rules/` with one subclass. Nothing else knows it: the catalogue finds it,
the worker registers it, the API validates and documents it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import JsonValue

from activities.act import Act
from activities.providers.documents import TemplateFormat
from activities.providers.mime import Attachment
from db.outbox import Bell
from db.rows import Rows
from domain.fields import FieldType, Problem, Registry
from domain.rule import Nature, Written
from domain.templates import Escape

RecordType = Literal["lead", "deal"]


class Template:
    """Marks a parameter that is a template; `escape` says where its values go."""

    def __init__(self, escape: Escape) -> None:
        self.escape = escape


Text = Annotated[str, Template("plain")]
"""A template that becomes plain text."""
Header = Annotated[str, Template("header")]
"""A template that becomes one line of a mail's header."""
Html = Annotated[str, Template("html")]
"""A template that becomes HTML; quoted values are escaped."""


class Held(NamedTuple):
    """The chain goes on when something outside has come, at the latest at `until` (UTC)."""

    until: datetime


class Done(NamedTuple):
    """What an effect did.

    `results` may be quoted by later rules. `rows` are what it wants written: an effect that is nothing but
    rows costs no round trip of its own. `moved_to` is the visit a transition led to, `changed` the fields it
    wrote, by full reference. `bells` are those of records that were born, to be rung after the commit. With
    `hold` the step stays open, and what stands below it in the chain waits.
    """

    results: dict[str, JsonValue] = {}
    rows: tuple[Rows, ...] = ()
    moved_to: int = 0
    changed: tuple[str, ...] = ()
    bells: tuple[Bell, ...] = ()
    hold: Held | None = None


class DocumentTemplate(NamedTuple):
    """The present version of a template: its format, and the values without which nothing is made of it."""

    format: TemplateFormat
    required: tuple[str, ...] = ()


class Setting(NamedTuple):
    """What a rule set is checked against: the pipeline it is for, and all there is beside it."""

    record_type: RecordType
    pipeline: str
    registry: Registry
    stages: Mapping[str, Mapping[str, str]]  # of every pipeline of the record type: stage -> meaning
    employees: frozenset[str]
    departments: frozenset[str]
    resources: frozenset[str] = frozenset()
    templates: Mapping[str, DocumentTemplate] = {}
    series: frozenset[str] = frozenset()
    stamps: frozenset[str] = frozenset()
    pipelines: Mapping[RecordType, Mapping[str, Mapping[str, str]]] = {}  # stages by pipeline, of both types
    former: frozenset[str] = frozenset()  # employees who are no longer active
    now: datetime | None = None  # when it is saved, UTC
    sms_providers: frozenset[str] = frozenset({"console"})  # that the installation has
    locale: str = "en"  # of the pipeline's texts


class Effect(Written):
    """A kind of rule that acts. Subclasses name their parameters as fields.

    `executes`: it writes by itself (`act.tx`) instead of returning rows; it runs in a savepoint of its own.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    example: ClassVar[dict[str, JsonValue]]
    record_types: ClassVar[tuple[RecordType, ...]] = ("lead", "deal")
    nature: ClassVar[Nature] = "database"
    executes: ClassVar[bool] = False
    seconds: ClassVar[float] = 6.0  # that it may take; one on the database has 10 with all that is around it
    results: ClassVar[dict[str, FieldType]] = {}
    errors: ClassVar[dict[str, str]] = {}
    """Reasons the step can fail with, and what each means."""

    @classmethod
    def nature_of(cls, params: Mapping[str, JsonValue]) -> Nature:
        """The nature of one rule of the kind, by its parameters as written; for most that of the kind."""
        del params
        return cls.nature

    async def apply(self, act: Act) -> Done:
        """Do it, in the transaction of `act`. Raises `domain.errors.Refused` when it cannot be done."""
        raise NotImplementedError

    def on_failure(self, act: Act, why: str) -> tuple[Rows, ...]:
        """What a step that failed leaves all the same; `why` is in plain words. For most, nothing."""
        del act, why
        return ()

    def warnings(self, setting: Setting, stage: str) -> Iterator[Problem]:
        """What may well be meant so in a rule of that stage, and seldom is; places as of `problems`."""
        del setting, stage
        yield from ()

    def problems(self, setting: Setting) -> Iterator[Problem]:
        """What is wrong with the parameters beyond their types; `place` is a path within `params`."""
        del setting
        yield from ()


class Recipient(NamedTuple):
    """Whom a message goes to; `employee`: the name of the employee it belongs to, empty for a client's."""

    address: str
    employee: str = ""


class Composed(NamedTuple):
    """A message before it is handed over. `missing` names the persons who should get it and have no address.

    `text` is what it says as people read it, with the `files`; `content` makes what is handed over from the
    id that the message keeps for all attempts. Of SMS each recipient gets one of his own, of so many
    `segments`, through the provider of that name.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    missing: tuple[str, ...]
    subject: str
    content: Callable[[str], bytes]
    provider: str = ""
    segments: int = 0
    text: str = ""
    files: Sequence[Attachment] = ()


class Sending(Effect):
    """A kind that hands a message to the outside, which no transaction can take back."""

    nature: ClassVar[Nature] = "send"
    seconds: ClassVar[float] = 60.0
    channel: ClassVar[Literal["email", "sms"]]

    async def compose(self, act: Act) -> Composed:
        """What is to be sent to whom. Raises `domain.errors.Refused` where there is nothing to send."""
        raise NotImplementedError
