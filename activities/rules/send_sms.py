"""`send_sms`: a short message to employees, clients, or any number, one each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal

from pydantic import JsonValue

from activities import recipients
from activities.act import Act
from activities.effect import Composed, Recipient, Sending, Setting, Text
from activities.mailboxes import several_quoted
from db.facts import EmployeeRow
from domain import addresses
from domain.errors import Refused
from domain.fields import FieldType, Problem
from domain.sms import MOST_SEGMENTS, may_be_mobile, segments
from domain.templates import quoted_whole

_JOINER: Final = "\u200d"  # makes one emoji of several
_NUMBER: Final = re.compile(r"[+(]?[0-9][0-9 ()/.-]*")
_FEWEST_DIGITS: Final = 5
# a number, a short code, a name (3GPP TS 23.040, 9.1.2.5), or the id of a messaging service
_SENDER: Final = re.compile(r"\+?[0-9]{3,15}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}|MG[0-9a-f]{32}")


class SendSms(Sending):
    """An SMS with the `text` to each of the `recipients`; of a long text up to ten are joined.

    Recipients are any of `responsible` (the default), `supervisor`, `everybody`, `department:<id>`,
    `employee:<id>`, or a number, also as a template: `{{ contact.phone.first }}` is the contact's first,
    `{{ contact.phone }}`, quoted alone, each that may be a mobile phone's. An employee's is `mobile`, else
    `phone` if that may be one. With `skip_absent` employees who are absent are left out. A number without
    its country (`+49…`) is one of the installation's. `sender` is a number or a name of up to 11 letters and
    digits, by default the installation's; so is the `provider` it goes through.
    """

    kind: ClassVar[str] = "send_sms"
    title: ClassVar[str] = "Send an SMS"
    channel: ClassVar = "sms"
    example: ClassVar[dict[str, JsonValue]] = {
        "recipients": ["{{ contact.phone }}"],
        "text": "Dear {{ contact.first_name }}, we are with you tomorrow at nine.",
    }
    results: ClassVar[dict[str, FieldType]] = {
        "message_ids": "text", "recipients": "text", "segments": "number",
    }  # fmt: skip
    errors: ClassVar[dict[str, str]] = {
        "no_mobile": "a recipient has no number that may be a mobile phone's; the others were served",
        "nobody": "no recipient is left: inactive, absent, or there is none",
        "text_empty": "nothing is left of the text once it is filled in",
        "too_long": "once it is filled in, the text takes more than ten SMS",
        "no_provider": "the installation has no account with the provider, by now",
        "refused": "the provider refuses the message; other recipients were served",
        "retry_for": "the provider could not take it for as long as it was to be tried",
    }

    text: Text
    recipients: list[Text] = ["responsible"]
    sender: str = ""
    provider: Literal["", "twilio", "gateway", "console"] = ""
    skip_absent: bool = False

    async def compose(self, act: Act) -> Composed:
        text = _tidy(act.text(self.text))
        if not text:
            raise Refused("text_empty", "the text is empty")
        if (parts := segments(text)) > MOST_SEGMENTS:
            raise Refused("too_long", f"the text takes {parts} SMS; there may be {MOST_SEGMENTS}")
        provider = self.provider or act.sms.provider
        if provider not in act.sms.providers:
            raise Refused("no_provider", f"there is no account with {provider}")
        found, missing = await self._numbers(act)
        if not (found or missing):
            raise Refused("nobody", "no recipient is left")
        if not found:
            raise Refused("no_mobile", f"without a mobile number: {', '.join(missing)}")
        return Composed(
            sender=self.sender or act.sms.sender,
            recipients=tuple(Recipient(number, name) for number, name in found.items()),
            missing=tuple(missing),
            subject="",
            content=lambda key: text.encode(),
            provider=provider,
            segments=parts,
            text=text,
        )

    async def _numbers(self, act: Act) -> tuple[dict[str, str], list[str]]:
        """The numbers meant, each with the name of the employee it is, and who has none."""
        words = [word for word in self.recipients if not _raw(word)]
        people = await recipients.addressed(act, words, act.now, skip_absent=self.skip_absent)
        found: dict[str, str] = {}
        missing: list[str] = []
        for person in people:
            if number := _of_person(act, person):
                found.setdefault(number, person.name)
            else:
                missing.append(person.name)
        known = _known(act)
        for word in filter(_raw, self.recipients):
            meant = _of_text(act, word)
            for number in meant:
                found.setdefault(number, known.get(number, ""))
            if not meant:
                missing.append(recipients.whose(act, word))
        return found, list(dict.fromkeys(missing))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        fixed = "{{" not in self.text and "{%" not in self.text
        if not self.text.strip():
            yield Problem(place="/text", message="there is no text")
        elif fixed and (parts := segments(_tidy(self.text))) > MOST_SEGMENTS:
            yield Problem(place="/text", message=f"takes {parts} SMS; there may be {MOST_SEGMENTS}")
        if self.sender and not _SENDER.fullmatch(self.sender):
            message = "a number, or a name of up to 11 letters, digits and spaces"
            yield Problem(place="/sender", message=message)
        if self.provider and self.provider not in setting.sms_providers:
            known = ", ".join(sorted(setting.sms_providers))
            message = f"the installation has no account with {self.provider}; it has {known}"
            yield Problem(place="/provider", message=message)
        words = ["{{" if _raw(word) else word for word in self.recipients]
        yield from recipients.problems(words, setting, "/recipients", addresses=True)
        for number, word in enumerate(self.recipients):
            if "{" not in word and _raw(word) and not _possible(word):
                yield Problem(place=f"/recipients/{number}", message=f"{word!r} is no phone number")
            elif several := several_quoted(word, setting):
                yield Problem(place=f"/recipients/{number}", message=several)


def _tidy(text: str) -> str:
    """The text as a phone can show it: without control characters and space around it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = ("".join(c for c in line if c.isprintable() or c == _JOINER).rstrip() for line in lines)
    return "\n".join(kept).strip()


def _raw(word: str) -> bool:
    """Whether it is a number, perhaps as a template."""
    return "{{" in word or "{%" in word or bool(_NUMBER.fullmatch(word.strip()))


def _possible(written: str) -> bool:
    """Whether it can be a number: where it names no country, that is the installation's business."""
    if not written.strip().startswith("+"):
        return sum(c.isdigit() for c in written) >= _FEWEST_DIGITS
    try:
        return bool(addresses.phone(written, "DE"))
    except ValueError:
        return False


def _of_person(act: Act, person: EmployeeRow) -> str:
    """An employee's number; empty if there is none."""
    return _number(act, person.mobile) or next(iter(_mobiles(act, [person.phone])), "")


def _of_text(act: Act, template: str) -> list[str]:
    """The number a text comes to, or those of a field quoted whole: what may be a mobile phone's."""
    if "{" not in template:
        return [number] if (number := _number(act, template)) else []
    values = act.values.get(quoted_whole(template) or "")
    return _mobiles(act, [str(one) for one in values] if isinstance(values, list) else [act.text(template)])


def _mobiles(act: Act, written: Sequence[str]) -> list[str]:
    numbers = (_number(act, one) for one in written)
    return [number for number in numbers if number and may_be_mobile(number)]


def _number(act: Act, written: str) -> str:
    """The number after E.164; empty for what is none."""
    try:
        return addresses.phone(written, act.mail.region) if written.strip() else ""
    except ValueError:
        return ""


def _known(act: Act) -> dict[str, str]:
    """The responsible's number, which a template may quote, with the name."""
    person = act.locked.around.responsible
    number = _of_person(act, person) if person and person.active else ""
    return {number: person.name} if person and number else {}
