"""Periods, and where they lead on the clocks of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
"""No instant is before this one: every zone can still write it."""
LATEST = datetime(9999, 12, 29, tzinfo=UTC)
"""No instant is after this one: what lies beyond, such as a date written for "never", counts as it."""
DAYS_AT_MOST = 5 * 365 + 2
"""Five years with their leap days."""


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises `ValueError` when there is none."""
    try:
        zone = ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    if name == "localtime" or name.startswith(("posix", "right/")):
        raise ValueError(f"{name!r} is the zone of a machine, or counts leap seconds")
    return zone


def _known_zone(name: str) -> str:
    return zone_named(name).key


ZoneName = Annotated[str, AfterValidator(_known_zone), Field(description="IANA time zone: Europe/Paris")]


def bounded(instant: datetime) -> datetime:
    """The instant in UTC, between `EARLIEST` and `LATEST`. Raises `ValueError` for one without a zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no zone")
    try:
        return min(max(instant.astimezone(UTC), EARLIEST), LATEST)
    except OverflowError:
        return EARLIEST if instant.year == 1 else LATEST


def localise(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a clock time without a zone.

    A clock time that does not exist moves forward by the gap; of two equal ones the first counts: both
    are `fold=0` (PEP 495).
    """
    return bounded(wall.replace(tzinfo=zone, fold=0))


def _absent(amount: int | None) -> bool:
    return amount is None


def _without_default(schema: dict[str, JsonValue]) -> None:
    schema.pop("default", None)                  # a unit is left out, not set to null


_DAYS = Field(ge=0, le=DAYS_AT_MOST, strict=True)
_HOURS = Field(ge=0, le=DAYS_AT_MOST * 24, strict=True)
_MINUTES = Field(ge=0, le=DAYS_AT_MOST * 24 * 60, strict=True)
_UNIT = Field(exclude_if=_absent, json_schema_extra=_without_default)


class Period(BaseModel):
    """A length of time in one unit, up to 5 years: `{"days": 3}`.

    Days are calendar days in a zone; hours and minutes are elapsed time.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"minProperties": 1, "maxProperties": 1})

    minutes: Annotated[Annotated[int, _MINUTES] | SkipJsonSchema[None], _UNIT] = None
    hours: Annotated[Annotated[int, _HOURS] | SkipJsonSchema[None], _UNIT] = None
    days: Annotated[Annotated[int, _DAYS] | SkipJsonSchema[None], _UNIT] = None

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if sum(amount is not None for amount in (self.minutes, self.hours, self.days)) != 1:
            raise ValueError("a period is given in one of minutes, hours or days")
        return self

    @property
    def span(self) -> timedelta:
        """The period as elapsed time, a day being 24 hours: for `not_within`, `catch_up`; others `add`."""
        return timedelta(days=self.days or 0, hours=self.hours or 0, minutes=self.minutes or 0)

    def add(self, instant: datetime, zone: ZoneInfo, sign: Literal[1, -1] = 1) -> datetime:
        """The instant (UTC) so much later, or earlier with `sign` -1. 09:00 plus days stays 09:00."""
        instant = bounded(instant)
        try:
            if not self.days:
                return bounded(instant + sign * self.span)
            wall = instant.astimezone(zone).replace(tzinfo=None)
            return localise(wall + sign * timedelta(days=self.days), zone)
        except OverflowError:
            return LATEST if sign > 0 else EARLIEST
