"""The Liquid that templates are written in, cut down to what is safe: no clock, no partials, bounded work.

Kept of the language: output with the filters of `domain.filters`, `if`, `unless`, `case`, and `for` over a
field with several values. The library's own limits do not bound time (empty loops one after the other, a
long text filtered again and again, ranges that are searched or reversed), hence the purse here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TextIO, cast

from liquid import Environment, RenderContext, Token, TokenStream
from liquid.ast import Node
from liquid.builtin.content import Literal as Content
from liquid.builtin.expressions import Path
from liquid.builtin.illegal import Illegal
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.case_tag import CaseTag
from liquid.builtin.tags.for_tag import ForLoop, ForNode, ForTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import FilterArgumentError, LiquidSyntaxError, LoopIterationLimitError
from liquid.token import TOKEN_CONTENT, TOKEN_EOF, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG
from liquid.undefined import UNDEFINED, is_undefined
from markupsafe import escape

from domain.fields import is_empty
from domain.filters import FILTERS, FilterRefused, Manner, shown

ROOTS = ("record", "contact", "company", "responsible", "steps")
LONGEST_SOURCE = 100_000
LONGEST_EXPRESSION = 500
MOST_MARKS = 2_000              # quotes and tags of one template: each costs far more than a character
PURSE = 1_000_000
FILTER_COST = 50                # what formatting a date costs, in characters
_MARK = re.compile(r"\{[{%]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# outside quotes: here every empty value is nil, and the library's own are equal to no nil
_EMPTY = re.compile(r"(\"[^\"]*\"|'[^']*')|(?<![\w.-])(?:blank|empty)(?![\w-])")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")      # neither PostgreSQL nor UTF-8 takes them
_TAG = re.compile(r"\s*(\w+)\s*", re.ASCII)


class Meter(RenderContext):
    """A render that pays for each character it touches, out of a purse that is filled once."""

    manner: Manner
    left: int = PURSE
    weight: int = 0             # characters in the body of the loop that is about to start

    def pay(self, characters: int, token: Token | None = None) -> None:
        self.left -= characters
        if self.left < 0:
            raise LoopIterationLimitError("the template takes too much work", token=token)

    @contextmanager
    def loop(self, namespace: Mapping[str, object], forloop: ForLoop | TableRow) -> Iterator[RenderContext]:
        self.pay(forloop.length * self.weight)
        with super().loop(namespace, forloop) as context:
            yield context

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        found = super().get(path, token=token, default=default)
        self.pay(_size(found), token)
        return found

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        apply = super().filter(name, token)

        def paid(value: object, *arguments: object, **named: object) -> object:
            formats = sum(item.count("%") for item in arguments if isinstance(item, str))
            self.pay(_size(value) + FILTER_COST * (1 + formats), token)
            given = [None if is_undefined(item) else item for item in (value, *arguments)]
            try:
                return apply(given[0], self.manner, *given[1:], **named)
            except (FilterRefused, ArithmeticError) as error:
                raise FilterArgumentError(str(error), token=token) from error
            except TypeError as error:
                raise FilterArgumentError(f"{name!r} takes other arguments", token=token) from error
        return paid


class _Shown(OutputNode):
    """Output that is escaped where the render asks for it; literals of the author are not."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        text = shown(None if is_undefined(value) else value, cast("Meter", context).manner)
        return buffer.write(str(escape(text)) if context.autoescape else text)


class _Output(Output):
    node_class = _Shown


class _Loop(ForNode):
    weight = 0

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        cast("Meter", context).weight = self.weight
        return super().render_to_output(context, buffer)


class _For(ForTag):
    node_class = _Loop

    def parse(self, stream: TokenStream) -> Node:
        opening = stream.current
        node = cast("_Loop", super().parse(stream))
        node.weight = stream.current.start_index - opening.start_index
        loop = node.expression
        if not isinstance(loop.iterable, Path) or loop.identifier in (*ROOTS, "forloop"):
            raise LiquidSyntaxError("a loop is written: for mail in contact.email", token=opening)
        return node


class Sandbox(Environment):
    """The environment all templates are parsed in."""

    block_nesting_limit = 10
    context_depth_limit = 20
    output_stream_limit = 200_000
    local_namespace_limit = 1_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        del extra
        for tag in (Content, _Output, Illegal, IfTag, UnlessTag, CaseTag, _For):
            self.add_tag(tag)
        for name, function in FILTERS.items():
            self.add_filter(name, function)

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        return _tokens


@lru_cache(maxsize=1)
def sandbox() -> Sandbox:
    """The one environment: it keeps nothing between templates."""
    return Sandbox()


def _tokens(source: str) -> Iterator[Token]:
    """Cut a template in one pass; the library's expressions for this go back and forth without bound."""
    if len(source) > LONGEST_SOURCE:
        raise LiquidSyntaxError(f"a template has at most {LONGEST_SOURCE} characters", token=None)
    place = 0
    strip = False
    marks = 0
    while place < len(source):
        mark = _MARK.search(source, place)
        start = mark.start() if mark else len(source)
        text = source[place:start]
        text = text.lstrip() if strip else text
        text = text.rstrip() if source[start + 2:start + 3] == "-" else text
        if text:
            yield Token(TOKEN_CONTENT, text, place, source)
        if start == len(source):
            return
        marks += 1
        if marks > MOST_MARKS:
            what = f"a template has at most {MOST_MARKS} quotes and tags"
            raise LiquidSyntaxError(what, token=Token(TOKEN_EOF, "", start, source))
        closing = "}}" if source[start + 1] == "{" else "%}"
        end = source.find(closing, start + 2)
        if end < 0:
            raise LiquidSyntaxError(f"expected '{closing}'", token=Token(TOKEN_EOF, "", start, source))
        strip = source[end - 1] == "-"
        inner = slice(start + 2 + (source[start + 2] == "-"), max(end - strip, start + 2))
        yield from _markup(source, start, inner, output=closing == "}}")
        place = end + 2


def _markup(source: str, start: int, inner: slice, *, output: bool) -> Iterator[Token]:
    text = _EMPTY.sub(lambda found: found[1] or "nil".ljust(len(found[0])), source[inner])
    here = Token(TOKEN_EOF, "", start, source)
    bare = _QUOTED.sub("", text)
    if len(text) > LONGEST_EXPRESSION or "(" in bare or ".." in bare:
        raise LiquidSyntaxError("too long, or with brackets or a range, which there are not", token=here)
    if not text.strip():
        raise LiquidSyntaxError("nothing stands between the braces", token=here)
    offset = int(inner.start)
    if output:
        yield Token(TOKEN_OUTPUT, text, start, source)
    else:
        name = _TAG.match(text)
        if name is None:
            raise LiquidSyntaxError("missing tag name", token=here)
        yield Token(TOKEN_TAG, name[1], offset + name.start(1), source)
        offset += name.end()
        text = text[name.end():]
    if text.strip() or output:
        yield Token(TOKEN_EXPRESSION, text.strip(), offset + len(text) - len(text.lstrip()), source)


def _size(value: object) -> int:
    if isinstance(value, list | tuple):
        return sum(_size(item) for item in value) + 1
    return len(value) if isinstance(value, str) else 1


def plain(value: object) -> object:
    """A value stripped of what subclasses add: a text that claims to be safe HTML is a text."""
    if isinstance(value, str):
        return _UNSENDABLE.sub("", str.__str__(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def namespace(values: Mapping[str, object]) -> dict[str, object]:
    """Nested dictionaries from values by full reference; what is empty is nil, of whatever type it is."""
    spaces: dict[str, dict[str, object]] = {root: {} for root in ROOTS}
    for reference, value in values.items():
        root, _, name = reference.partition(".")
        space = spaces.setdefault(root, {})
        if root == "steps":
            rule, _, name = name.partition(".")
            space = cast("dict[str, object]", space.setdefault(rule, {}))
        space[name] = None if is_empty(value) else plain(value)
    return cast("dict[str, object]", spaces)
