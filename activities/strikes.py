"""Attempts at acts that may never come to an end: bounded, each told of, none in the way of the others.

What an act raises is counted, and so are the workers that died in it; the third time it ends as `failed`, the
owner of the rules is told, and everything else goes on. A first attempt costs nothing: only when an activity
is tried again are its acts written down before they begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import BigInteger, DateTime, bindparam, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError

from activities.bounds import Overran
from activities.fault_log import report
from activities.trial import Condemned, Faulted, Key, Trial
from activities.unreadable import tell
from db.engine import Database
from db.mishaps import passes
from domain.errors import Refused, Unreadable

T = TypeVar("T")

MOST: Final = 3
"""How often an act may come to no outcome."""
WHOLE: Final = Key(0, "", 0)
"""Stands for the journey, where no act is to blame."""
_PAUSES: Final = (timedelta(seconds=5), timedelta(seconds=30))
"""After an act that took too long: long enough for a machine that is only slow at the moment."""
_LIFTS: Final = (0.2, 1.0, 5.0)  # seconds, while the database cannot be told
_AT_ONCE: Final = 1.0  # seconds; a database that cannot note a strike within that is itself what is slow


class Strikes:
    """Keeps count for one process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempt(
        self, record_id: int, at: datetime, work: Callable[[Trial], Awaitable[T]], *,
        seconds: float | None = None,
    ) -> T:  # fmt: skip
        """What `work` answers: one transaction, and again with more care or without what cannot be done.

        `at`: the clock (UTC). All acts have to be through within `seconds`. Raises `ApplicationError` where
        the activity is to be tried again.
        """
        trial = Trial(until=asyncio.get_running_loop().time() + seconds if seconds else None)
        mark = await self._suspect(record_id, trial, at) if _number() > 1 else None
        while True:
            try:
                answer = await work(trial)
            except BaseException as error:
                if mark:
                    await asyncio.shield(mark.lift())  # this process lives: nothing died in it
                if not isinstance(error, (Exception, Overran)) or isinstance(error, (Refused, FailureError)):
                    raise
                await self._judge(record_id, trial, error, at)
            else:
                if mark:
                    await mark.clear(trial)
                return answer

    async def _judge(
        self, record_id: int, trial: Trial, error: BaseException, at: datetime
    ) -> None:
        """Return if it is to be done once more at once, else raise."""
        if isinstance(error, Unreadable):
            await self._tell_unreadable(error, record_id, at)
            raise ApplicationError(str(error), type="Unreadable") from None
        if passes(error) or isinstance(error, OSError):
            raise error
        overran = isinstance(error, Faulted) and error.overran
        if not trial.careful and not overran:
            trial.careful = True
            return
        key = error.key if isinstance(error, Faulted) else WHOLE
        cause = error.error if isinstance(error, Faulted) else error
        report(record_id, key, cause)
        faults = await self._strike(record_id, key, cause, at, quickly=overran)
        if faults >= MOST and key != WHOLE:
            trial.condemned[key] = Condemned("error", in_words(cause))
            return
        if faults == MOST:
            await self._tell_stuck(record_id, cause, at)
        pause = _PAUSES[min(faults, len(_PAUSES)) - 1] if overran and faults else None
        named = f"{type(cause).__name__} in {key.rule!r} of visit {key.visit_no}" if key.rule else ""
        said = named or f"{type(cause).__name__}{_constraint(cause)}"
        raise ApplicationError(said, type="Faulted", next_retry_delay=pause) from None

    # -- the table -----------------------------------------------------------------------------
    async def _suspect(self, record_id: int, trial: Trial, at: datetime) -> Mark:
        """An earlier attempt of the activity ended nobody knows how."""
        async with self._database.transaction() as tx:
            found = (await tx.execute(_FOUND, {"id": record_id})).all()
        for row in found:
            key = Key(row.visit_no, row.rule, row.n)
            trial.careful |= bool(row.deaths or row.faults)
            if row.deaths >= MOST - 1:  # the first one nobody has seen
                trial.condemned[key] = Condemned("quarantined", f"{MOST} times a worker died in it")
            elif row.faults >= MOST and key != WHOLE:
                trial.condemned[key] = Condemned("error", row.error)
        mark = Mark(self._database, record_id, at)
        mark.seen = {Key(row.visit_no, row.rule, row.n) for row in found}
        trial.marks = mark.begins
        return mark

    async def _strike(
        self, record_id: int, key: Key, error: BaseException, at: datetime, *, quickly: bool
    ) -> int:
        """How often that is now; 0 if it does not count, since the database was slow itself."""
        asked = _named(record_id, key) | {"error": in_words(error), "at": at}
        try:
            async with asyncio.timeout(_AT_ONCE if quickly else None), self._database.transaction() as tx:
                return int((await tx.execute(_STRIKE, asked)).scalar_one())
        except TimeoutError:
            return 0

    async def _tell_stuck(self, record_id: int, error: BaseException, at: datetime) -> None:
        """Nothing goes on with this record, and it is nobody's rule: whoever owns the rules has to know."""
        asked = {"id": record_id, "why": in_words(error), "at": at}
        async with self._database.transaction() as tx:
            await tx.execute(_STUCK, asked)

    async def _tell_unreadable(self, error: Unreadable, record_id: int, at: datetime) -> None:
        report(record_id, WHOLE, error)
        async with self._database.transaction() as tx:
            await tell(tx, error, at)


class Mark:
    """Which act of a record is under way, written down before it begins, and taken off when it is through."""

    def __init__(self, database: Database, record_id: int, at: datetime) -> None:
        self._database, self._record_id, self._at = database, record_id, at
        self._under_way: Key | None = None
        self.seen: set[Key] = set()

    async def begins(self, key: Key) -> None:
        """This act begins; the one before is through."""
        async with self._database.transaction() as tx:
            if self._under_way:
                await tx.execute(_LIFT, _named(self._record_id, self._under_way))
            await tx.execute(_MARK, _named(self._record_id, key) | {"at": self._at})
        self._under_way = key
        self.seen.add(key)

    async def lift(self) -> None:
        """No act is under way any more."""
        if self._under_way is None:
            return
        asked = _named(self._record_id, self._under_way)
        for pause in _LIFTS:
            try:
                async with self._database.transaction() as tx:
                    await tx.execute(_LIFT, asked)
            except (SQLAlchemyError, OSError):  # the database is away: that is no fault of the act
                await asyncio.sleep(pause)
            else:
                break
        self._under_way = None

    async def clear(self, trial: Trial) -> None:
        """All came to an end: nothing stands against them."""
        if done := self.seen | trial.condemned.keys():
            async with self._database.transaction() as tx:
                await tx.execute(_CLEAR, [_named(self._record_id, key) for key in done])


def in_words(error: BaseException) -> str:
    """What went wrong, for people: a line of bounded length."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    return f"{type(error).__name__}: {said}"[:300].rstrip(": ")


def _number() -> int:
    return activity.info().attempt if activity.in_activity() else 1


def _constraint(error: BaseException) -> str:
    """What Temporal may know of a row the database refused: not what it says."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else None
    return f": the database refused a row: {getattr(cause, 'constraint_name', '')}" if cause else ""


def _named(record_id: int, key: Key) -> dict[str, object]:
    return {"id": record_id, **key._asdict()}


_ID, _AT = bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True))
_OF_KEY = "record_id = :id and visit_no = :visit_no and rule = :rule and n = :n"
_FOUND = text("""
select visit_no, rule, n, deaths, faults, error from strike where record_id = :id
""").bindparams(_ID)
_STRIKE = text("""
insert into strike (record_id, visit_no, rule, n, faults, error, at)
values (:id, :visit_no, :rule, :n, 1, :error, :at)
on conflict (record_id, visit_no, rule, n) do update set
  faults = strike.faults + 1, error = excluded.error, at = excluded.at
returning faults
""").bindparams(_ID, _AT)
_MARK = text("""
insert into strike (record_id, visit_no, rule, n, deaths, at) values (:id, :visit_no, :rule, :n, 1, :at)
on conflict (record_id, visit_no, rule, n) do update set deaths = strike.deaths + 1, at = excluded.at
""").bindparams(_ID, _AT)
_LIFT = text(f"update strike set deaths = greatest(deaths - 1, 0) where {_OF_KEY}").bindparams(_ID)  # noqa: S608
_CLEAR = text(f"delete from strike where {_OF_KEY}").bindparams(_ID)  # noqa: S608
_STUCK = text("""
with said as (
  insert into journal (record_id, visit_no, event, at, actor, detail)
  select r.id, r.visit_no, 'stuck', :at, 'system', jsonb_build_object('error', cast(:why as text))
  from record r where r.id = :id
)
insert into notification (employee_id, record_id, visit_no, sender, body, at)
select coalesce(nullif(s.owner_id, ''), p.owner_id), r.id, r.visit_no, 'system',
  format('Nothing goes on with %L: %s', r.title, cast(:why as text)), :at
from record r join pipeline p on p.id = r.pipeline_id
  join visit v on v.record_id = r.id and v.visit_no = r.visit_no
  left join rule_set s on s.pipeline_id = v.pipeline_id and s.number = v.rules_number
where r.id = :id and coalesce(nullif(s.owner_id, ''), p.owner_id) is not null
""").bindparams(_ID, _AT)
