"""Recipients written as addresses: one entry is one address, whatever the values quoted in it hold.

What the author wrote says where a name ends and an address begins; what is filled in never does. The one
entry that is several is a field with several values quoted whole: each of its values is an address.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from activities import recipients
from activities.act import Act
from activities.effect import Setting
from activities.providers.mime import Mailbox, mailbox, one_line
from domain.fields import Problem, UnknownField
from domain.templates import TemplateError, quoted, quoted_whole

_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_OUTPUT, _TAG = re.compile(r"\{\{.*?\}\}", re.DOTALL), re.compile(r"\{%.*?%\}", re.DOTALL)
_SEVERAL = "one entry is one address: write each for itself, and a name with a comma in quotes"


def of_entry(act: Act, written: str) -> list[Mailbox | str]:
    """The mailboxes of an entry; in place of one that is none, how to name it."""
    return [_parsed(one) or one_line(html.unescape(one)) for one in filled(act, written)] or [
        recipients.whose(act, written)
    ]


def filled(act: Act, written: str) -> list[str]:
    """What an entry comes to, empty ones left out: one text, or each value of a field quoted whole.

    What is quoted is escaped as in HTML, so that `<`, `>` and `"` are always the author's.
    """
    values = act.values.get(quoted_whole(written) or "")
    if isinstance(values, list):
        return [html.escape(str(one)) for one in values]
    return [text] if (text := one_line(act.text(written, "html"))) else []


def _parsed(text: str) -> Mailbox | None:
    named = _NAMED.fullmatch(text)
    address = html.unescape(named["address"] if named else text).strip()
    name = named["name"].strip() if named else ""
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    try:
        if "<" in address:  # what was filled in brings no name of its own
            return None
        return mailbox(address)._replace(name=one_line(html.unescape(name)))
    except ValueError:
        return None


# -- on save -------------------------------------------------------------------------------------------
def problems(written: Sequence[str], setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with recipients as the rules of all kinds have them, and addresses."""
    words = ["@" if recipients.raw(word) else word for word in written]
    yield from recipients.problems(words, setting, place, addresses=True)
    for number, word in enumerate(written):
        if recipients.raw(word) and (wrong := _wrong(word, setting)):
            yield Problem(place=f"{place}/{number}", message=wrong)


def _wrong(word: str, setting: Setting) -> str:
    if several := several_quoted(word, setting):
        return several
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", _TAG.sub("", _OUTPUT.sub("x", word)))
    if "," in bare or ";" in bare:
        return _SEVERAL
    if "{{" in word or "{%" in word:
        return ""
    try:
        mailbox(word)
    except ValueError as wrong:
        return str(wrong)
    return ""


def several_quoted(word: str, setting: Setting) -> str:
    """What is wrong with an entry that quotes all values of a field among other things."""
    if quoted_whole(word):
        return ""
    try:
        found = [reference for reference, rest in quoted(word) if not rest]
    except TemplateError:
        return ""  # which is said of the template
    for reference in found:
        try:
            field = setting.registry.find(reference)
        except UnknownField:
            continue
        if field.multiple:
            return f"{reference} has several values: quote it alone, or one of them, as {reference}.first"
    return ""
