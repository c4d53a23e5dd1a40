"""Sends invitations to meetings: rows that were committed, one letter each, by any number of postmen at once.

A letter is committed as `sending` before it is handed over. One that was left so is sent again, under the
same Message-ID: to a calendar the same UID and SEQUENCE are the same invitation (RFC 5546, 2.1.5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.providers.mail import Ambiguous, Letter, Mail, NotSent
from activities.providers.mime import mailbox
from db.engine import Database
from db.fail_points import fail_point
from worker.patience import DATABASE_AWAY, Patience

log = structlog.get_logger()

POLL_EVERY = 1.0
AT_ONCE: Final = 10
TAKEN_OVER: Final = timedelta(seconds=60)
"""After so long a letter that is being sent counts as left behind by a dead worker."""
PATIENCE: Final = 50.0
"""Seconds one letter may take, so that nobody takes it over meanwhile."""
BROKEN_OFF: Final = 10.0
"""Seconds a round may go on when it is time to stop."""
TRIED_FOR: Final = timedelta(hours=24)
_FIRST, _LONGEST = timedelta(seconds=1), timedelta(minutes=10)


class Invitation(NamedTuple):
    """A letter in hand: committed as `sending`, for the so-manieth time."""

    id: int
    attempts: int
    message_id: str
    recipient: str
    content: bytes
    created_at: datetime

    def again_at(self, now: datetime) -> datetime | None:
        """When it is tried next: after 1 s, doubling to 10 min; None when 24 hours are over."""
        last = self.created_at + TRIED_FOR
        delay = min(_FIRST * (1 << min(self.attempts - 1, 10)), _LONGEST)
        return min(now + delay, last) if now < last else None


async def deliver_invitations(
    database: Database, mail: Mail, sender: str, stop: asyncio.Event, now: Callable[[], datetime]
) -> None:
    """Send what is due, and look again each second, until it is time to stop. `now`: the clock (UTC).

    At most ten letters are in hand at once; one that hangs keeps its own place and no other.
    """
    patience = Patience("the database does not answer", stop)
    sending: set[asyncio.Task[None]] = set()
    try:
        while not stop.is_set():
            try:
                letters = await _take(database, AT_ONCE - len(sending), now())
                sending |= {asyncio.create_task(_send(database, mail, sender, one, now)) for one in letters}
                if not letters:
                    await _until_one_ends(sending, stop)
                _ended(sending)
            except DATABASE_AWAY as error:
                await patience.pause(error)
            else:
                patience.over()
    finally:
        if sending:  # broken off, so that they are taken over, a while after it is time to stop
            await asyncio.wait(sending, timeout=BROKEN_OFF)
        for task in sending:
            task.cancel()


async def one_round(database: Database, mail: Mail, sender: str, now: Callable[[], datetime]) -> int:
    """Take what is due, at most ten letters, hand each over and settle it; how many there were.

    Letters about one meeting to one address go in the order in which they were written.
    """
    letters = await _take(database, AT_ONCE, now())
    sending = (_send(database, mail, sender, letter, now) for letter in letters)
    for came in await asyncio.gather(*sending, return_exceptions=True):
        if came is not None:
            raise came
    return len(letters)


async def _take(database: Database, most: int, now: datetime) -> list[Invitation]:
    """Letters that are due, those that wait longest first; now they are in this postman's hands."""
    if not most:
        return []
    async with database.transaction() as tx:
        asked = {"now": now, "until": now + TAKEN_OVER, "most": most}
        letters = [Invitation(*row) for row in await tx.execute(_TAKE, asked)]
    if letters:
        fail_point("postman.sending")
    return letters


async def _until_one_ends(sending: Collection[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Wait until a letter has been handed over, until it is time to look again, or to stop."""
    stopping = asyncio.create_task(stop.wait())
    try:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait([stopping, *sending], timeout=POLL_EVERY, return_when=first)
    finally:
        stopping.cancel()


def _ended(sending: set[asyncio.Task[None]]) -> None:
    """Let go of what has ended. Raises what one could not be settled for; it is taken over."""
    ended = {task for task in sending if task.done()}
    sending -= ended
    broken = [error for task in ended if (error := task.exception())]
    if broken:
        raise broken[0]


async def _send(
    database: Database, mail: Mail, sender: str, letter: Invitation, now: Callable[[], datetime]
) -> None:
    error, final = "", False
    try:
        own = Letter(letter.message_id, mailbox(sender).address, (letter.recipient,), letter.content)
        async with asyncio.timeout(PATIENCE):
            delivery = await mail.send(own)
        for reply in delivery.refused.values():
            error, final = f"{reply.code} {reply.text}", not reply.temporary
    except NotSent as refused:
        error, final = refused.message, not refused.temporary
    except Ambiguous as mishap:
        error = mishap.message
    except TimeoutError:
        error = "the mail server took too long"
    except Exception as broken:  # noqa: BLE001 - whatever is wrong with one letter, the others are sent
        error = type(broken).__name__  # what it says may quote the letter
        log.error("an invitation cannot be sent", invitation=letter.id, error=error)
    fail_point("postman.handed_over")
    await _settle(database, letter, error, final, now())


async def _settle(database: Database, letter: Invitation, error: str, final: bool, at: datetime) -> None:
    """Nothing where somebody else has taken it over since."""
    again = letter.again_at(at) if error and not final else None
    state = "sent" if not error else "queued" if again else "failed"
    asked = {
        "id": letter.id, "attempts": letter.attempts, "state": state, "error": error, "at": at,
        "again": again or at, "sent_at": at if state == "sent" else None,
    }  # fmt: skip
    async with database.transaction() as tx:
        await tx.execute(_SETTLE, asked)
    if state == "failed":
        log.warning("an invitation did not arrive", invitation=letter.id, attempts=letter.attempts)


_AT = DateTime(timezone=True)
_TAKE = text("""
with due as materialized (
  select i.id from invitation i
  where i.state in ('queued', 'sending') and i.next_attempt_at <= :now and not exists (
    select 1 from invitation older
    where older.meeting_id = i.meeting_id and lower(older.recipient) = lower(i.recipient)
      and older.id < i.id and older.state in ('queued', 'sending'))
  order by i.next_attempt_at limit :most for update skip locked
)
update invitation i set state = 'sending', attempts = i.attempts + 1, next_attempt_at = :until
from due where i.id = due.id
returning i.id, i.attempts, i.message_id, i.recipient, i.content, i.created_at
""").bindparams(bindparam("now", type_=_AT), bindparam("until", type_=_AT))
# who did not get it is told to whoever holds the meeting
_SETTLE = text("""
with settled as (
  update invitation set state = :state, error = :error, next_attempt_at = :again, sent_at = :sent_at
  where id = :id and state = 'sending' and attempts = :attempts
  returning meeting_id, recipient, state
)
insert into notification (employee_id, record_id, visit_no, rule, sender, body, at)
select m.responsible_id, m.record_id, m.visit_no, m.rule, 'system',
  format('What %s was to be told of %L did not arrive: %s', s.recipient, m.subject, cast(:error as text)), :at
from settled s join meeting m on m.id = s.meeting_id where s.state = 'failed'
""").bindparams(
    bindparam("id", type_=BigInteger),
    bindparam("at", type_=_AT),
    bindparam("again", type_=_AT),
    bindparam("sent_at", type_=_AT),
)
