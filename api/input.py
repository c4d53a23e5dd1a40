"""What callers send: unknown fields are refused, and texts that no database can keep."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Annotated

from fastapi import Path
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from domain.period import bounded

PathId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""The id of something a person named: a pipeline, a stage, an employee."""
Version = Annotated[int, Field(description="as the caller has read it; if it is another by now: 409")]


def _sensible(at: datetime) -> datetime:
    if bounded(at) != at:
        raise ValueError("no calendar knows that day in every zone")
    return bounded(at)


Instant = Annotated[AwareDatetime, AfterValidator(_sensible)]
"""An instant, which needs its offset; kept in UTC."""


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
