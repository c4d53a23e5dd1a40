"""`generate_code`: a code nobody can guess, unique in its series for ever."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator
from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, String, bindparam, text

from activities.act import Act
from activities.effect import Done, Effect, Setting
from db.edits import edit
from domain.errors import Refused
from domain.fields import FieldType, Problem, UnknownField

Alphabet = Literal["digits", "lower", "upper", "symbols"]
_ALPHABETS: dict[Alphabet, str] = {
    "digits": digits,
    "lower": ascii_lowercase,
    "upper": ascii_uppercase,
    "symbols": "!#$%*+-=?@_",  # none that a mail, a page or an address would have to escape
}
_IN_PATTERN = {"#": digits, "@": ascii_uppercase}
_TRIES = 20
_AT_ONCE = 20  # codes offered in one try; the first that is free is taken
_COUNTED = 100_000
"""A series of no more codes is counted each time, a larger one when an offered code was taken."""


class GenerateCode(Effect):
    """A random code for later rules to quote, as a coupon; never given twice in its series.

    It has `length` characters of the `alphabet` (any of digits, lower, upper, symbols), or follows a
    `pattern`: `SALE-####` and `VIP-@@##`, where `#` is a digit, `@` a capital letter, and all else stands as
    it is. `series` is where it is unique, by default that of this rule in this pipeline. `write_to` is a
    text field of the record that takes the code.
    """

    kind: ClassVar[str] = "generate_code"
    title: ClassVar[str] = "Generate a code"
    example: ClassVar[dict[str, JsonValue]] = {"pattern": "SALE-####-@@", "series": "coupons"}
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"code": "text"}
    errors: ClassVar[dict[str, str]] = {
        "series_nearly_full": "more than nine in ten codes of the series are taken, or no free one was met",
        "unknown_field": "the field it is written to was taken away, or made read-only, since",
        "wrong_type": "the field it is written to does not take it",
    }

    length: Annotated[int, Field(ge=1, le=64)] = 10
    alphabet: Annotated[list[Alphabet], Field(min_length=1)] = ["digits", "upper"]
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    series: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    write_to: str | None = None

    @model_validator(mode="after")
    def _is_random(self) -> Self:
        if self.pattern and not any(sign in self.pattern for sign in _IN_PATTERN):
            raise ValueError("a pattern needs a # (digit) or @ (letter), else every code is the same")
        if self.pattern and self.model_fields_set & {"length", "alphabet"}:
            raise ValueError("a code has a pattern, or a length and an alphabet")
        return self

    async def apply(self, act: Act) -> Done:
        code = await self._new(act)
        if self.write_to is None:
            return Done({"code": code})
        edited = await edit(act.locked, {self.write_to.removeprefix("record."): code}, act.by)
        return Done({"code": code}, changed=edited.changed)

    async def _new(self, act: Act) -> str:
        own: dict[str, object] = {"series": self.series or f"{act.record.pipeline_id}/{act.rule.id}"}
        counted = self._possible() <= _COUNTED
        if counted:
            self._check_room(await self._taken(act, own))
        own |= {"id": act.record.id, "visit_no": act.visit_no, "rule": act.rule.id, "at": act.now}
        for _ in range(_TRIES):
            offered = [self._draw() for _ in range(_AT_ONCE)]
            code = (await act.tx.execute(_CLAIM, own | {"codes": offered})).scalar_one_or_none()
            if code != offered[0] and not counted:
                self._check_room(await self._taken(act, own) - (code is not None))
            if code is not None:
                return str(code)
        raise self._full(await self._taken(act, own))

    def _signs(self) -> list[str]:
        """The signs to choose from, place by place."""
        if self.pattern is None:
            return ["".join(_ALPHABETS[name] for name in dict.fromkeys(self.alphabet))] * self.length
        return [_IN_PATTERN.get(sign, sign) for sign in self.pattern]

    def _draw(self) -> str:
        return "".join(secrets.choice(signs) for signs in self._signs())

    def _possible(self) -> int:
        count = 1
        for signs in self._signs():
            count *= len(signs)
        return count

    async def _taken(self, act: Act, own: dict[str, object]) -> int:
        """How many codes of this shape the series has; other rules may give other shapes in it."""
        shape = "".join(_literal(signs) if len(signs) == 1 else "_" for signs in self._signs())
        asked = {"series": own["series"], "shape": shape}
        return int((await act.tx.execute(_COUNT, asked)).scalar_one())

    def _check_room(self, taken: int) -> None:
        if taken * 10 > self._possible() * 9:
            raise self._full(taken)

    def _full(self, taken: int) -> Refused:
        return Refused("series_nearly_full", f"{taken} of {self._possible()} codes are taken")

    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.write_to is None:
            return
        name = self.write_to.removeprefix("record.")
        try:
            field = setting.registry.find(f"record.{name}")
        except UnknownField as unknown:
            yield Problem(place="/write_to", message=str(unknown))
            return
        if not field.writable or name == "stage":
            yield Problem(place="/write_to", message=f"record.{name} cannot be written to")
        elif field.type != "text":
            yield Problem(place="/write_to", message=f"record.{name} holds no text")


def _literal(sign: str) -> str:
    return f"\\{sign}" if sign in "%_\\" else sign


_CLAIM = text("""
insert into code (series, code, record_id, visit_no, rule, at)
select :series, offered.code, :id, :visit_no, :rule, :at
from unnest(:codes) with ordinality as offered(code, place)
where not exists (select from code where code.series = :series and code.code = offered.code)
order by offered.place
limit 1
on conflict (series, code) do nothing
returning code
""").bindparams(
    bindparam("series", type_=String),
    bindparam("id", type_=BigInteger),
    bindparam("visit_no", type_=Integer),
    bindparam("rule", type_=String),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("codes", type_=ARRAY(String)),
)
_COUNT = text("select count(*) from code where series = :series and code like :shape")
