"""Templates: texts that quote fields and results, as `{{ contact.first_name | default: "client" }}`.

The language is a small part of Liquid (`domain.sandbox`), the filters are in `domain.filters`. Liquid is
loaded with the first template, so that what merely names templates stays light.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.fields import Field, FieldType, Problem, Registry, Steps, UnknownField
from domain.references import resolve

if TYPE_CHECKING:
    from liquid import BoundTemplate
    from liquid.static_analysis import TemplateAnalysis

    from domain.filters import Manner

Escape = Literal["html", "header", "plain"]

_ENOUGH = 50
_WHOLE = re.compile(r"\s*\{\{-?\s*([a-z_]+(?:\.[a-z0-9_-]+)+)\s*-?\}\}\s*")
_AFTER_SEVERAL = ("first", "last", "size")
_BREAKS = re.compile("[\t\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
# control characters, and those that turn the direction of what a reader sees
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class TemplateError(ValueError):
    """The template is not well formed, or took more work or space than a text may."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message, self.line = message, line


class _Quote(NamedTuple):
    """A place where a template quotes something; `segments` after the reference are the rest of the path."""

    reference: str
    rest: tuple[object, ...]
    line: int


class _Parsed(NamedTuple):
    template: BoundTemplate
    quotes: tuple[_Quote, ...]
    problems: tuple[Problem, ...]
    pays: bool                  # formats an amount, perhaps in the record's currency


def check(text: str, registry: Registry, steps: Steps, locale: str = "en") -> list[Problem]:
    """Everything that is wrong with a template, each with its line; empty when it may be saved.

    `steps` are the results of earlier rules of the stage. A template that is well formed and names only
    what there is is also rendered once with samples and once with nothing, which shows filters put to
    values they are not for. `locale` is the language they will be rendered in.
    """
    try:
        parsed = _parse(text)
    except TemplateError as error:
        return [_problem(error.line, error.message)]
    problems = list(parsed.problems)
    samples: dict[str, object] = {}
    for quote in parsed.quotes:
        if len(problems) >= _ENOUGH:
            break
        try:
            field = resolve(quote.reference, registry, steps)
        except UnknownField as unknown:
            problems.append(_problem(quote.line, str(unknown)))
            continue
        if not _may_follow(quote.rest, field):
            problems.append(_problem(quote.line, f"nothing can be read inside {quote.reference}"))
        samples[quote.reference] = _sample(field)
    for values in () if problems else (samples, {}):
        try:
            render(text, values, escape="plain", zone="UTC", locale=locale)
        except TemplateError as error:
            problems.append(_problem(error.line, error.message))
    return list(dict.fromkeys(problems))


def quoted(text: str) -> list[tuple[str, tuple[object, ...]]]:
    """What a template quotes, in order: each reference, and what of it (`first`), if not all.

    Raises `TemplateError` when it is not well formed.
    """
    return [(quote.reference, quote.rest) for quote in _parse(text).quotes]


def quoted_whole(text: str) -> str | None:
    """The reference of a template that is nothing but a quote of it, with no filter; None for any other."""
    found = _WHOLE.fullmatch(text)
    return found[1] if found else None


def references(text: str) -> frozenset[str]:
    """All fields and results a template reads. Raises `TemplateError` when it is not well formed."""
    parsed = _parse(text)
    currency = {"record.currency"} if parsed.pays else set()
    return frozenset(quote.reference for quote in parsed.quotes) | currency


def render(text: str, values: Mapping[str, object], *, escape: Escape, zone: str, locale: str) -> str:
    """The text with its quotes filled in.

    `values` are typed values by full reference; a missing or empty one renders empty. `html` escapes the
    values, not the author's text; `header` gives one line without control characters. `zone` (an IANA name)
    and `locale` (BCP 47) are those of the reader. Raises `TemplateError`.
    """
    from liquid.exceptions import LiquidError

    from domain.sandbox import Meter, namespace

    parsed = _parse(text)
    if parsed.problems:
        raise TemplateError(f"{parsed.problems[0].place}: {parsed.problems[0].message}")
    quoted = {quote.reference: values.get(quote.reference) for quote in parsed.quotes}
    context = Meter(parsed.template, globals=namespace(quoted))
    context.autoescape = escape == "html"
    context.manner = manner(values, zone, locale)
    buffer = context.get_buffer()
    try:
        parsed.template.render_with_context(context, buffer)
    except LiquidError as error:
        raise _plain_words(error, text) from error
    except (RecursionError, UnicodeError, TypeError) as error:
        raise TemplateError(f"cannot be rendered: {error}") from error
    result = buffer.getvalue()
    return _CONTROLS.sub("", _BREAKS.sub(" ", result)).strip() if escape == "header" else result


@lru_cache(maxsize=256)
def _parse(text: str) -> _Parsed:
    from liquid.exceptions import LiquidError

    from domain.sandbox import ROOTS, sandbox

    try:
        template = sandbox().from_string(text)
    except LiquidError as error:
        told = _plain_words(error, text)
        raise TemplateError(told.message, told.line or _line(text, len(text))) from error
    analysis = template.analyze(include_partials=False)
    quotes: list[_Quote] = []
    problems = _unknown_filters(analysis, text, template)
    for variable in (found for group in analysis.globals.values() for found in group):
        line = _line(text, variable.span.index)
        path = variable.segments
        names = 3 if path[0] == "steps" else 2
        head = [segment for segment in path[:names] if isinstance(segment, str)]
        if path[0] not in ROOTS or any(isinstance(segment, list) for segment in path):
            problems.append(_problem(line, f"there is no {str(variable)!r}; write fields like record.title"))
        elif len(head) < names:
            problems.append(_problem(line, f"{str(variable)!r} is not the name of a field"))
        else:
            quotes.append(_Quote(".".join(head), tuple(path[names:]), line))
    return _Parsed(template, tuple(quotes), tuple(problems), "money" in analysis.filters)


def _unknown_filters(analysis: TemplateAnalysis, text: str, template: BoundTemplate) -> list[Problem]:
    problems: list[Problem] = []
    for name, spans in analysis.filters.items():
        if name not in template.env.filters:
            near = get_close_matches(name, template.env.filters, n=1) or [", ".join(template.env.filters)]
            message = f"there is no filter {name!r}; there is {near[0]}"
            problems += [_problem(_line(text, span.index), message) for span in spans]
    return problems


def _plain_words(error: Exception, text: str) -> TemplateError:
    """The library's error without its drawing, with the line."""
    token = getattr(error, "token", None)
    message = str(error.args[0]) if error.args else type(error).__name__
    return TemplateError(message, _line(text, token.start_index) if token and token.start_index >= 0 else 0)


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _problem(line: int, message: str) -> Problem:
    return Problem(place=f"line {line}" if line else "", message=message)


def _may_follow(rest: tuple[object, ...], field: Field) -> bool:
    one_of_several = len(rest) == 1 and (rest[0] in _AFTER_SEVERAL or isinstance(rest[0], int))
    return not rest or (field.multiple and one_of_several)


def manner(values: Mapping[str, object], zone: str, locale: str) -> Manner:
    """How values look to a reader. Raises `TemplateError` for a zone or a language that is none."""
    from domain import filters
    from domain.languages import language

    currency = values.get("record.currency")
    try:
        return filters.Manner(ZoneInfo(zone), language(locale), currency if isinstance(currency, str) else "")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TemplateError(str(error)) from error


def _sample(field: Field) -> object:
    chosen = next(iter(field.choices), None) if field.type == "choice" else None
    one = chosen or _SAMPLES[field.type]
    return [one, one] if field.multiple else one


_SAMPLES: dict[FieldType, object] = {
    "text": "x", "email": "ada@firm.example", "choice": "x", "employee": "x",
    "number": Decimal("1.5"), "money": Decimal("1.50"),
    "boolean": True, "date": date(2024, 2, 29), "datetime": datetime(2024, 2, 29, 12, tzinfo=UTC),
    "booking": datetime(2024, 2, 29, 12, tzinfo=UTC),
}
