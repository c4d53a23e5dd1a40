"""Invitations: what the invited are told, in an order that calendars understand, and never for nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar, Event

from activities import meetings
from activities.act import MailIdentity
from activities.meeting_row import MeetingRow
from activities.meetings import Changes
from activities.providers.mail import Delivery, Letter
from activities.providers.smtp import SmtpMail
from db.records import By
from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.smtp_sink import DROP, Received, SmtpSink
from worker.postman import PATIENCE, TAKEN_OVER, deliver_invitations, one_round

HOUSE = MailIdentity("jalon.localhost", "jalon@jalon.localhost")
ADA, BEN, CLARA = "ada@company.example", "ben@company.example", "clara@client.example"
START = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Post:
    """A meeting of Ada with Ben and Clara on Tuesday at ten, and a postman."""

    def __init__(self, desk: Desk, sink: SmtpSink, deal: int, meeting: int) -> None:
        self.desk, self.sink, self.deal, self.meeting = desk, sink, deal, meeting
        self.mail = SmtpMail("127.0.0.1", sink.port, timeout=5)

    async def goes(self, now: datetime = NOON) -> int:
        """One round of a postman; how many letters it had in hand."""
        return await one_round(self.desk.database, self.mail, HOUSE.sender, lambda: now)

    async def moved(self, now: datetime = NOON, **changes: Any) -> MeetingRow:
        async with self.desk.locked(self.deal) as locked:
            wanted: Changes = changes  # type: ignore[assignment]  # as a test writes them
            by = By("ada", now)
            return (await meetings.move_meeting(locked, self.meeting, wanted, by, HOUSE)).meeting

    async def cancelled(self, now: datetime = NOON) -> bool:
        async with self.desk.locked(self.deal) as locked:
            return (await meetings.cancel_meeting(locked, self.meeting, By("ada", now), HOUSE)).changed

    async def states(self) -> list[tuple[str, int, str, str]]:
        rows = await self.desk.rows("invitation", order="id")
        return [(row["recipient"], row["sequence"], row["method"], row["state"]) for row in rows]


@pytest.fixture
async def post(desk: Desk, smtp: SmtpSink) -> Post:
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx)
    deal = await desk.deal(contact=contact)
    done = await desk.does(
        deal, "schedule_meeting", rule="meet", start={"after": {"days": 1}, "at": "10:00"},
        participants=["employee:ben", "{{ contact.email.first }}"], place="Office; Room 1, left",
        subject="Roof: «été»\r\nBcc: x@evil.example", reminders=[{"minutes": 30}],
        description="Bring\nEND:VEVENT\nthe plans", important=True,
    )  # fmt: skip
    return Post(desk, smtp, deal, int(str(done.results["id"])))


def calendar(mail: EmailMessage) -> tuple[Calendar, Event]:
    """What a calendar program reads in a mail."""
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    read = Calendar.from_ical(part.get_content())
    (event,) = read.walk("VEVENT")
    assert part.get_param("method") == read["method"]
    assert part.get_param("charset").lower() == "utf-8"
    return read, event


def told(messages: list[Received]) -> list[tuple[tuple[str, ...], str, int]]:
    """To whom, with which method and revision."""
    found = []
    for message in messages:
        read, event = calendar(message.parsed)
        found.append((message.recipients, str(read["method"]), int(event["sequence"])))
    return sorted(found)


def arrived(post: Post, address: str) -> list[int]:
    """The revisions that an address got, in the order in which they came."""
    own = [message for message in post.sink.messages if message.recipients == (address,)]
    return [int(calendar(message.parsed)[1]["sequence"]) for message in own]


def attendees(event: Event) -> dict[str, Any]:
    listed = event["attendee"]
    return {str(one): one for one in (listed if isinstance(listed, list) else [listed])}


# -- the letter --------------------------------------------------------------------------------------
async def test_everybody_invited_gets_a_request_that_calendars_read(post: Post) -> None:
    assert await post.goes() == 2
    assert [message.recipients for message in post.sink.messages] in ([(BEN,), (CLARA,)], [(CLARA,), (BEN,)])
    mail = next(m for m in post.sink.messages if m.recipients == (CLARA,)).parsed
    assert (mail["From"].addresses[0].addr_spec, mail["To"]) == ("jalon@jalon.localhost", CLARA)
    assert mail["From"].addresses[0].display_name == "Ada"
    assert mail["Subject"] == "Invitation: Roof: «été» Bcc: x@evil.example"
    assert mail["Bcc"] is None
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/calendar", "application/ics",
    ]  # fmt: skip
    assert "When: 2026-03-03 10:00 - 11:00 (Europe/Paris)" in mail.get_body(("plain",)).get_content()
    (file,) = mail.iter_attachments()
    assert file.get_filename() == "invite.ics"
    read, _ = calendar(mail)
    assert Calendar.from_ical(file.get_content()) == read


async def test_the_request_says_what_when_where_and_with_whom(post: Post) -> None:
    await post.goes()
    read, event = calendar(post.sink.messages[0].parsed)
    meeting = await post.desk.row("meeting")
    assert (read["version"], read["method"]) == ("2.0", "REQUEST")
    assert (event["uid"], event["sequence"], event["status"]) == (meeting["uid"], 0, "CONFIRMED")
    assert (event["dtstart"].dt, event["dtend"].dt) == (START, START + HOUR)
    assert event["dtstart"].to_ical() == b"20260303T090000Z"
    assert event["dtstamp"].dt == NOON
    assert event["summary"] == "Roof: «été» Bcc: x@evil.example"
    assert (event["location"], event["priority"]) == ("Office; Room 1, left", 1)
    assert event["description"] == "Bring\nEND:VEVENT\nthe plans"
    assert event["organizer"] == "mailto:jalon@jalon.localhost"
    assert event["organizer"].params["CN"] == "Ada"
    people = attendees(event)
    assert set(people) == {f"mailto:{who}" for who in (ADA, BEN, CLARA)}
    assert (people[f"mailto:{BEN}"].params["CN"], people[f"mailto:{BEN}"].params["RSVP"]) == ("Ben", "TRUE")
    assert people[f"mailto:{CLARA}"].params["PARTSTAT"] == "NEEDS-ACTION"
    assert people[f"mailto:{ADA}"].params["ROLE"] == "CHAIR"
    (alarm,) = event.walk("VALARM")
    assert (alarm["action"], alarm["trigger"].dt) == ("DISPLAY", -timedelta(minutes=30))


async def test_no_line_is_longer_than_calendars_read(post: Post) -> None:
    await post.moved(subject="é" * 500, place="x" * 500)
    await post.goes()
    for message in post.sink.messages:
        for part in message.parsed.walk():
            if part.get_content_type() in ("text/calendar", "application/ics"):
                lines = part.get_payload(decode=True).split(b"\r\n")
                assert all(len(line) <= 75 and b"\n" not in line for line in lines)


# -- changes -----------------------------------------------------------------------------------------
async def test_moving_asks_anew_with_a_higher_sequence(post: Post) -> None:
    await post.goes()
    post.sink.messages.clear()
    moved = await post.moved(NOON + HOUR, starts_at=START + HOUR, ends_at=START + 2 * HOUR)
    assert (moved.sequence, moved.changed_at) == (1, NOON + HOUR)
    assert await post.goes(NOON + HOUR) == 2
    assert told(post.sink.messages) == [((BEN,), "REQUEST", 1), ((CLARA,), "REQUEST", 1)]
    _, event = calendar(post.sink.messages[0].parsed)
    assert (event["uid"], event["dtstart"].dt) == (moved.uid, START + HOUR)
    assert event["dtstamp"].dt == NOON + HOUR
    assert post.sink.messages[0].parsed["Subject"].startswith("Changed: ")
    ledger = await post.desk.rows("meeting")
    assert ledger[0]["starts_at"] == START + HOUR


async def test_who_is_taken_off_the_list_is_told_so_and_who_is_new_is_asked(post: Post) -> None:
    await post.goes()
    post.sink.messages.clear()
    await post.moved(participants=["hugo"])
    await post.goes()
    assert told(post.sink.messages) == [
        ((BEN,), "CANCEL", 1), ((CLARA,), "REQUEST", 1), (("hugo@company.example",), "REQUEST", 1),
    ]  # fmt: skip
    (off,) = [m for m in post.sink.messages if m.recipients == (BEN,)]
    _, event = calendar(off.parsed)
    assert (event["status"], set(attendees(event))) == ("CANCELLED", {f"mailto:{BEN}"})
    post.sink.messages.clear()
    await post.moved(participants=["hugo", "ben"])
    await post.goes()
    assert ((BEN,), "REQUEST", 2) in told(post.sink.messages)


async def test_cancelling_tells_everybody_with_a_higher_sequence_once(post: Post) -> None:
    await post.goes()
    post.sink.messages.clear()
    assert await post.cancelled()
    assert not await post.cancelled()
    await post.goes()
    assert told(post.sink.messages) == [((BEN,), "CANCEL", 1), ((CLARA,), "CANCEL", 1)]
    meeting = await post.desk.row("meeting")
    assert (meeting["state"], meeting["ended_by"], meeting["sequence"]) == ("cancelled", "ada", 1)
    with pytest.raises(Refused, match="cancelled"):
        await post.moved(place="elsewhere")


async def test_without_a_change_nobody_is_told(post: Post) -> None:
    await post.goes()
    assert (await post.moved(starts_at=START, participants=["ben"])).sequence == 0
    assert await post.goes() == 0


async def test_moving_into_the_past_is_refused(post: Post) -> None:
    for changes, reason in (
        ({"starts_at": NOON - SECOND}, "start_past"),
        ({"ends_at": START}, "wrong_duration"),
        ({"participants": ["nobody"]}, "wrong_participant"),
    ):
        with pytest.raises(Refused) as refused:
            await post.moved(**changes)
        assert refused.value.reason == reason
    assert (await post.desk.row("meeting"))["sequence"] == 0


async def test_who_has_a_new_address_is_told_at_both(post: Post) -> None:
    await post.desk.run("update employee set email = 'ben@new.example' where id = 'ben'")
    await post.moved(place="elsewhere")
    assert (await post.states())[2:] == [
        ("ben@new.example", 1, "REQUEST", "queued"), (CLARA, 1, "REQUEST", "queued"),
        (BEN, 1, "CANCEL", "queued"),
    ]  # fmt: skip


# -- on the way --------------------------------------------------------------------------------------
async def test_letters_to_one_address_go_in_their_order(post: Post) -> None:
    await post.moved(place="elsewhere")
    await post.cancelled()
    post.sink.to_recipient[BEN].append("450 4.2.1 later")
    assert await post.goes() == 2
    assert told(post.sink.messages) == [((CLARA,), "REQUEST", 0)]
    await post.goes()
    await post.goes()
    assert arrived(post, CLARA) == [0, 1, 2]
    for _ in range(3):
        await post.goes(NOON + SECOND)
    assert arrived(post, BEN) == [0, 1, 2]


async def test_what_is_refused_for_the_moment_is_tried_for_a_day(post: Post) -> None:
    post.sink.to_recipient[BEN].extend(["450 4.2.1 later"] * 30)
    now, pauses = NOON, []
    for _ in range(20):
        await post.goes(now)
        (row,) = await post.desk.rows("invitation", f"recipient = '{BEN}'")
        pauses.append(row["next_attempt_at"] - now)
        now = row["next_attempt_at"]
    assert pauses == sorted(pauses)
    assert (pauses[:3], pauses[-1]) == ([SECOND, 2 * SECOND, 4 * SECOND], timedelta(minutes=10))
    await post.goes(NOON + timedelta(hours=24) - SECOND)
    now = NOON + timedelta(hours=24)
    assert await post.states() == [(BEN, 0, "REQUEST", "queued"), (CLARA, 0, "REQUEST", "sent")]
    await post.goes(now)
    assert await post.states() == [(BEN, 0, "REQUEST", "failed"), (CLARA, 0, "REQUEST", "sent")]
    assert "450 4.2.1 later" in (await post.desk.row("notification"))["body"]


async def test_what_is_refused_for_good_fails_at_once_and_the_responsible_is_told(post: Post) -> None:
    post.sink.to_recipient[CLARA].append("550 5.1.1 no such user")
    await post.goes()
    assert await post.states() == [(BEN, 0, "REQUEST", "sent"), (CLARA, 0, "REQUEST", "failed")]
    notice = await post.desk.row("notification")
    assert (notice["employee_id"], notice["record_id"], notice["rule"]) == ("ada", post.deal, "meet")
    assert CLARA in notice["body"]
    assert "550 5.1.1 no such user" in notice["body"]
    assert await post.goes(NOON + HOUR) == 0


async def test_without_an_answer_it_is_sent_again_under_the_same_id(post: Post) -> None:
    await post.desk.run(f"delete from invitation where recipient = '{BEN}'")
    post.sink.to_data.append(DROP)
    await post.goes()
    assert [state for *_, state in await post.states()] == ["queued"]
    await post.goes(NOON + SECOND)
    first, second = post.sink.messages
    assert first.content == second.content
    assert [state for *_, state in await post.states()] == ["sent"]


async def test_of_many_postmen_one_sends_each_letter(post: Post) -> None:
    assert sum(await asyncio.gather(*(post.goes() for _ in range(6)))) == 2
    assert len(post.sink.messages) == 2


class Held:
    """A transport that keeps a letter in hand until it may go on."""

    def __init__(self, mail: SmtpMail) -> None:
        self.mail, self.in_hand, self.may_go = mail, asyncio.Event(), asyncio.Event()

    async def send(self, letter: Letter) -> Delivery:
        self.in_hand.set()
        await self.may_go.wait()
        return await self.mail.send(letter)

    async def close(self) -> None:
        """Nothing is held open."""


async def test_one_that_was_overtaken_settles_nothing(post: Post) -> None:
    await post.desk.run(f"delete from invitation where recipient = '{BEN}'")
    held = Held(post.mail)
    slow = asyncio.create_task(one_round(post.desk.database, held, HOUSE.sender, lambda: NOON))
    await held.in_hand.wait()
    assert await post.goes(NOON + TAKEN_OVER - SECOND) == 0
    post.sink.to_data.append("554 5.7.1 spam")
    assert await post.goes(NOON + TAKEN_OVER) == 1
    held.may_go.set()
    await slow
    assert [state for *_, state in await post.states()] == ["failed"]
    assert timedelta(seconds=PATIENCE) < TAKEN_OVER


async def test_a_postman_goes_round_until_it_is_time_to_stop(post: Post) -> None:
    held, stop = Held(post.mail), asyncio.Event()
    held.may_go.set()
    postman = deliver_invitations(post.desk.database, held, HOUSE.sender, stop, lambda: NOON)
    at_work = asyncio.create_task(postman)
    async with asyncio.timeout(30):
        await held.in_hand.wait()
        stop.set()
        await at_work
    assert {state for *_, state in await post.states()} == {"sent"}


class OneHeld(Held):
    """A transport that keeps the letters to one address in hand, and delivers all others."""

    async def send(self, letter: Letter) -> Delivery:
        return await (super().send(letter) if letter.recipients == (BEN,) else self.mail.send(letter))


async def test_letters_go_on_beside_one_that_hangs(post: Post) -> None:
    held, stop = OneHeld(post.mail), asyncio.Event()
    postman = deliver_invitations(post.desk.database, held, HOUSE.sender, stop, lambda: NOON + SECOND)
    at_work = asyncio.create_task(postman)
    try:
        async with asyncio.timeout(30):
            await held.in_hand.wait()
            await post.desk.run(
                "insert into invitation (meeting_id, sequence, method, recipient, message_id, content, state,"
                " next_attempt_at, created_at) select meeting_id, 7, method, 'eve@company.example', 'late',"
                " content, 'queued', created_at, created_at from invitation limit 1"
            )
            while (await post.states())[-1][3] != "sent":  # noqa: ASYNC110 - the postman brings it about
                await asyncio.sleep(0.02)
        assert (BEN, "sending") in {(to, state) for to, *_, state in await post.states()}
    finally:
        held.may_go.set()
        stop.set()
        await at_work


async def test_a_letter_that_hangs_does_not_hold_up_the_end(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.postman.BROKEN_OFF", 0.01)
    held, stop = Held(post.mail), asyncio.Event()
    postman = deliver_invitations(post.desk.database, held, HOUSE.sender, stop, lambda: NOON)
    at_work = asyncio.create_task(postman)
    async with asyncio.timeout(30):
        await held.in_hand.wait()
        stop.set()
        await at_work
    assert {state for *_, state in await post.states()} == {"sending"}
    assert await post.goes(NOON + TAKEN_OVER) == 2


class Broken(Held):
    """A transport with a fault of its own."""

    async def send(self, letter: Letter) -> Delivery:
        raise LookupError(letter.message_id)


async def test_a_fault_of_ours_is_tried_again_and_tells_nothing_of_the_letter(post: Post) -> None:
    broken = Broken(post.mail)
    assert await one_round(post.desk.database, broken, HOUSE.sender, lambda: NOON) == 2
    rows = await post.desk.rows("invitation")
    assert {(row["state"], row["error"]) for row in rows} == {("queued", "LookupError")}
    assert await post.goes(NOON + SECOND) == 2


ROUND = """
import asyncio, sys
from datetime import UTC, datetime
from activities.providers.smtp import SmtpMail
from db.engine import Database
from worker.postman import one_round
now = datetime.fromisoformat(sys.argv[3])
work = one_round(Database(sys.argv[1]), SmtpMail("127.0.0.1", int(sys.argv[2])), sys.argv[4], lambda: now)
asyncio.run(work)
"""


@pytest.mark.parametrize(("place", "arrived"), [("postman.sending", 0), ("postman.handed_over", 1)])
async def test_what_a_dead_worker_left_is_taken_over_after_a_minute(
    post: Post, database_url: str, tmp_path: Path, place: str, arrived: int
) -> None:
    await post.desk.run(f"delete from invitation where recipient = '{BEN}'")
    log = tmp_path / "log"
    environment = os.environ | {"JALON_FAIL_POINT": place, "JALON_FAIL_POINT_LOG": str(log)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ROUND, database_url, str(post.sink.port), NOON.isoformat(), HOUSE.sender,
        env=environment,
    )  # fmt: skip
    assert await child.wait() == -signal.SIGKILL
    assert log.read_text() == f"{place}\n"
    assert len(post.sink.messages) == arrived
    assert [state for *_, state in await post.states()] == ["sending"]
    assert await post.goes(NOON + TAKEN_OVER - SECOND) == 0
    assert await post.goes(NOON + TAKEN_OVER) == 1
    assert len({message.message_id for message in post.sink.messages}) == 1
    assert [state for *_, state in await post.states()] == ["sent"]
