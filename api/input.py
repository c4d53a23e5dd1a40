"""What callers send: unknown fields are refused, and texts that no database can keep."""

from __future__ import annotations

import re
from datetime import date, datetime
from math import isfinite
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from domain.period import bounded

MOST_ID: Final = 2**63 - 1
PathId = Annotated[int, Path(ge=1, le=MOST_ID)]
After = Annotated[int, Query(ge=0, le=MOST_ID, description="the id of the last one that was seen")]
Before = Annotated[int | None, Query(ge=1, le=MOST_ID, description="the id of the last one that was seen")]
Limit = Annotated[int, Query(ge=1, le=500)]
KEEPABLE: Final = r"^[^\x00-\x1f\x7f]*$"
"""What a text in an address or a header may hold: no control characters, which no column keeps."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""The id of something a person named: a pipeline, a stage, an employee."""
PathName = Annotated[Name, Path()]
_AS_READ: Final = "as the caller has read it; if it is another by now: 409"
Version = Annotated[int, Field(ge=0, le=2**31 - 1, description=_AS_READ)]


_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ].*)?")


def _written(raw: object) -> object:
    """A number is no date: without this, 0 would be the first day of 1970."""
    if isinstance(raw, str) and not _WRITTEN.fullmatch(raw.strip()):
        raise ValueError("a day is written 2026-02-28, an instant 2026-02-28T09:00:00+01:00")
    if not isinstance(raw, str | date):
        what = "a day or an instant is a text, like 2026-02-28T09:00:00+01:00"
        raise ValueError(what)  # noqa: TRY004 - what pydantic takes for a refusal
    return raw


def _sensible(at: datetime) -> datetime:
    if bounded(at) != at:
        raise ValueError("no calendar knows that day in every zone")
    return bounded(at)


Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_sensible)]
"""An instant, which needs its offset; kept in UTC."""
Day = Annotated[date, BeforeValidator(_written)]


class Sendable(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, raw: object) -> object:
        if problem := _unkeepable(raw):
            raise ValueError(problem)
        return raw


def _unkeepable(raw: object) -> str:
    """PostgreSQL keeps neither NUL nor half a surrogate pair, JSON no infinite number."""
    todo = [raw]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            if "\0" in item or any("\ud800" <= letter <= "\udfff" for letter in item):
                return "a text holds a character that cannot be kept (NUL, or half a surrogate pair)"
        elif isinstance(item, dict):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, float) and not isfinite(item):
            return "a number is not finite"
    return ""
