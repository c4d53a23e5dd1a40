"""A send is committed before it is handed over, and what came of it is never guessed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.exceptions import ApplicationError

from activities.act import MailIdentity
from activities.house import House
from activities.providers.mail import Delivery, Letter, Mail
from activities.providers.smtp import SmtpMail
from activities.sending import Sender
from db.records import By, move
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.smtp_sink import DROP, SmtpSink

ADA, BEN, CLARA = "ada@company.example", "ben@company.example", "clara@client.example"
HOUSE = House(mail=MailIdentity("company.example", "crm@company.example"))
SECOND = timedelta(seconds=1)
NOTHING = 1  # a port where nobody listens
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


class Post:
    """A deal with one rule that sends, and the worker that sends it."""

    def __init__(self, desk: Desk, record: int, mail: Mail) -> None:
        self.desk, self.record = desk, record
        self.sender = Sender(desk.database, desk.book, desk.ids, HOUSE, mail)

    async def send(self, now: datetime = NOON, *, due: datetime = NOON) -> Outcome:
        """One attempt, as the activity makes it."""
        asked = RuleRun(record_id=self.record, visit_no=1, rule="offer", turn=NOON, due=due)
        return await self.sender.send(asked, now)

    def by(self, mail: Mail) -> Post:
        """The same, by a worker of its own."""
        return Post(self.desk, self.record, mail)

    async def breaks_off(self) -> None:
        """An attempt that gets no further than its first transaction."""
        held = Held(NOTHING)
        attempt = asyncio.create_task(self.by(held).send())
        await held.in_hand.wait()
        attempt.cancel()
        await asyncio.wait([attempt])

    async def message(self) -> dict[str, Any]:
        return await self.desk.row("message")

    async def ledger(self) -> list[tuple[str, str, Any]]:
        return [(r["outcome"], r["reason"], r["results"]) for r in await self.desk.rows("ledger")]

    async def events(self) -> list[str]:
        return [event for event, rule, _, _ in await self.desk.journal(self.record) if rule]

    async def error(self) -> str:
        """The last error the journal tells of."""
        told = [detail for *_, detail in await self.desk.journal(self.record)]
        return [detail["error"] for detail in told if "error" in detail][-1]


async def posting(desk: Desk, sink: SmtpSink, *to: str, **how: Any) -> Post:
    """`how`: what the rule says beside its parameters."""
    params = {"to": list(to or ["responsible"]), "subject": "Your offer", "text": "Here it is."}
    rule = {"id": "offer", "kind": "send_email", "params": params} | how
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [rule]})
        clara = await builders.contact(tx, emails=[CLARA])
        record = await builders.deal(tx, contact=clara, responsible="ada")
    return Post(desk, record, SmtpMail("127.0.0.1", sink.port, timeout=5))


def message_id(post: Post) -> str:
    return f"<{post.record}.1.offer.0@company.example>"


# -- taken -------------------------------------------------------------------------------------------
async def test_what_is_taken_is_done_and_says_who_got_it(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "responsible", "{{ contact.email }}")
    outcome = await post.send()
    assert (outcome.result, outcome.at) == ("done", NOON)
    (mail,) = smtp.messages
    assert (mail.sender, mail.recipients) == ("crm@company.example", (ADA, CLARA))
    assert mail.message_id == message_id(post)
    assert mail.parsed.get_content().strip() == "Here it is."
    row = await post.message()
    assert (row["state"], row["attempts"], row["sent_at"], row["error"]) == ("sent", 1, NOON, "")
    assert row["recipients"] == row["accepted"] == [ADA, CLARA]
    assert row["employees"] == {ADA: "Ada"}
    assert row["content"] == mail.content
    results = {"message_id": message_id(post), "recipients": [ADA, CLARA]}
    assert await post.ledger() == [("done", "", results)]
    assert await post.events() == ["done"]


async def test_run_twice_it_sends_once(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    assert await post.send() == await post.send(NOON + SECOND)
    assert len(smtp.messages) == 1
    assert await post.events() == ["done"]


# -- the fence ---------------------------------------------------------------------------------------
async def test_after_the_stage_was_left_nothing_is_sent(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    await leave(desk, post.record)
    outcome = await post.send(NOON + SECOND)
    assert (outcome.result, outcome.reason) == ("stale", "outrun")
    assert (smtp.messages, await desk.rows("message")) == ([], [])


async def test_what_was_committed_as_sending_is_handed_over_though_the_stage_was_left(
    desk: Desk, smtp: SmtpSink
) -> None:
    post = await posting(desk, smtp)
    await post.breaks_off()
    await leave(desk, post.record)
    assert (await post.send(NOON + SECOND)).result == "done"
    assert len(smtp.messages) == 1


async def test_a_further_attempt_passes_the_fence_again(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    smtp.to_data.append("451 4.3.0 later")
    assert (await post.send()).waiting == "retry"
    await leave(desk, post.record)
    assert (await post.send(NOON + SECOND, due=NOON + SECOND)).result == "stale"
    assert smtp.messages == []


async def test_a_suspended_step_stays_pending(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    await desk.run("insert into suspension (scope, since, by_whom) values ('everything', now(), 'eve')")
    assert (await post.send()).waiting == "suspended"
    assert (await post.ledger(), smtp.messages) == ([], [])


async def test_a_condition_that_is_false_sends_nothing_and_one_that_holds_is_written_down(
    desk: Desk, smtp: SmtpSink
) -> None:
    holds = {"field": "record.title", "op": "contains", "value": "roof"}
    post = await posting(desk, smtp, condition=holds)
    await post.send()
    *_, (event, _, _, detail) = await desk.journal(post.record)
    assert (event, detail["condition"]["holds"]) == ("done", True)
    other = await posting(desk, smtp, condition={"not": holds})
    assert (await other.send()).reason == "condition"
    assert len(smtp.messages) == 1


async def test_what_cannot_be_composed_fails_without_a_message(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "{{ company.email }}")
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "no_address")
    assert (await desk.rows("message"), smtp.messages) == ([], [])
    assert "offer" in (await desk.row("notification", "employee_id = 'eve'"))["body"]


# -- refused for good --------------------------------------------------------------------------------
async def test_of_three_one_is_refused_and_the_others_are_served(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "responsible", "employee:ben", CLARA)
    smtp.to_recipient[BEN].append("550 5.1.1 no such user")
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "refused")
    (mail,) = smtp.messages
    assert mail.recipients == (ADA, CLARA)
    assert await post.error() == f"Ben <{BEN}>: 550 5.1.1 no such user"
    ((_, _, results),) = await post.ledger()
    assert results["recipients"] == [ADA, CLARA]
    row = await post.message()
    assert (row["state"], row["sent_at"], row["accepted"]) == ("failed", NOON, [ADA, CLARA])
    assert row["refused"] == {BEN: {"code": 550, "text": "5.1.1 no such user"}}
    assert "Ben" in (await desk.row("notification", "employee_id = 'eve'"))["body"]
    assert (await post.send(NOON + SECOND)).result == "failed"
    assert len(smtp.messages) == 1


async def test_who_has_no_address_fails_it_once_the_others_were_served(desk: Desk, smtp: SmtpSink) -> None:
    await desk.run(lambda tx: builders.employee(tx, "zoe", name="Zoe Zander", email=""))
    post = await posting(desk, smtp, "employee:zoe", "responsible")
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "no_address")
    assert await post.error() == "Zoe Zander: has no address"
    assert [mail.recipients for mail in smtp.messages] == [(ADA,)]


@pytest.mark.parametrize("reply", ["554 5.7.1 spam", "552 5.3.4 too big"])
async def test_a_message_refused_for_good_is_not_tried_again(desk: Desk, smtp: SmtpSink, reply: str) -> None:
    post = await posting(desk, smtp)
    smtp.to_data.append(reply)
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "refused")
    assert await post.error() == reply
    assert (await post.message())["state"] == "failed"


async def test_nobody_is_let_in(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    smtp.to_recipient[ADA].append("550 5.1.1 no such user")
    assert (await post.send()).reason == "refused"
    assert smtp.messages == []


# -- refused for the moment --------------------------------------------------------------------------
@pytest.mark.parametrize("reply", ["451 4.3.0 later", "421 4.3.2 shutting down", "450 4.7.1 greylisted"])
async def test_what_may_pass_is_tried_again(desk: Desk, smtp: SmtpSink, reply: str) -> None:
    post = await posting(desk, smtp)
    smtp.to_data.append(reply)
    smtp.to_recipient[ADA] += [reply]
    smtp.to_recipient[ADA].rotate()
    outcome = await post.send()
    assert (outcome.result, outcome.waiting, outcome.due) == ("pending", "retry", NOON + SECOND)
    assert await post.ledger() == []  # the key was given back
    assert reply in await post.error()
    outcome = await post.send(NOON + SECOND, due=NOON + SECOND)
    assert (outcome.waiting, outcome.due) == ("retry", NOON + 3 * SECOND)
    row = await post.message()
    assert (row["state"], row["attempts"]) == ("failed", 2)
    assert (await post.send(NOON + 3 * SECOND, due=NOON + 3 * SECOND)).result == "done"
    (mail,) = smtp.messages
    assert (mail.recipients, mail.message_id) == ((ADA,), message_id(post))
    assert await post.events() == ["retry", "retry", "done"]


async def test_only_who_has_not_taken_it_is_tried_again(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "responsible", "employee:ben", CLARA)
    smtp.to_recipient[ADA].append("550 5.1.1 no such user")
    smtp.to_recipient[CLARA].append("450 4.2.0 greylisted")
    assert (await post.send()).waiting == "retry"
    outcome = await post.send(NOON + SECOND, due=NOON + SECOND)
    assert [mail.recipients for mail in smtp.messages] == [(BEN,), (CLARA,)]
    assert len({mail.content for mail in smtp.messages}) == 1
    assert (outcome.result, outcome.reason) == ("failed", "refused")
    ((_, _, results),) = await post.ledger()
    assert results["recipients"] == [BEN, CLARA]
    assert await post.error() == f"Ada <{ADA}>: 550 5.1.1 no such user"


async def test_a_server_that_is_away_is_tried_again(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp)
    assert (await post.by(SmtpMail("127.0.0.1", NOTHING)).send()).waiting == "retry"
    assert "connect" in (await post.error()).lower()
    assert (await post.message())["error"] == await post.error()
    assert (await post.send(NOON + SECOND, due=NOON + SECOND)).result == "done"


async def test_the_pauses_double_up_to_ten_minutes_until_the_time_is_out(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, retry_for={"hours": 1})
    smtp.to_data.extend(["451 4.3.0 later"] * 20)
    now, pauses = NOON, []
    while (outcome := await post.send(now, due=now)).result == "pending":
        assert outcome.due is not None
        pauses.append(int((outcome.due - now).total_seconds()))
        now = outcome.due
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600, 177]
    assert now == NOON + timedelta(hours=1)
    assert (outcome.result, outcome.reason) == ("failed", "retry_for")
    assert await post.error() == "451 4.3.0 later"


async def test_a_late_attempt_is_not_dropped_as_overdue(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, schedule={"catch_up": {"drop_if_late": {"minutes": 1}}})
    smtp.to_data.append("451 4.3.0 later")
    await post.send()
    assert (await post.send(NOON + timedelta(minutes=5), due=NOON + SECOND)).result == "done"


# -- what may have arrived ---------------------------------------------------------------------------
async def test_a_lost_answer_is_sent_again_to_employees_with_the_same_id(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "responsible", "employee:ben")
    smtp.to_data.append(DROP)
    with pytest.raises(ApplicationError) as again:
        await post.send()
    assert again.value.next_retry_delay == SECOND
    assert not again.value.non_retryable
    assert (await post.message())["state"] == "sending"
    assert (await post.send(NOON + SECOND)).result == "done"
    assert [mail.message_id for mail in smtp.messages] == [message_id(post)] * 2
    assert len({mail.content for mail in smtp.messages}) == 1
    assert await post.events() == ["retry", "done"]


@pytest.mark.parametrize(
    ("to", "on_unknown"), [(["responsible", "{{ contact.email }}"], "send_again"), (["responsible"], "ask")]
)
async def test_a_lost_answer_is_for_an_operator_where_a_client_is_addressed_or_the_rule_asks(
    desk: Desk, smtp: SmtpSink, to: list[str], on_unknown: str
) -> None:
    post = await posting(desk, smtp, *to, on_unknown=on_unknown)
    smtp.to_data.append(DROP)
    outcome = await post.send()
    assert (outcome.result, outcome.at) == ("unknown", NOON)
    assert (await post.send(NOON + SECOND)).result == "unknown"
    assert len(smtp.messages) == 1  # and never a second one
    assert (await post.message())["state"] == "unknown"
    assert await post.events() == ["unknown"]
    assert "no answer" in await post.error()
    assert "offer" in (await desk.row("notification", "employee_id = 'eve'"))["body"]


async def test_once_the_client_has_it_the_employees_may_get_it_again(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, "responsible", CLARA)
    smtp.to_recipient[ADA].append("450 4.2.0 greylisted")
    assert (await post.send()).waiting == "retry"
    smtp.to_data.append(DROP)
    with pytest.raises(ApplicationError):
        await post.send(NOON + SECOND, due=NOON + SECOND)
    assert (await post.send(NOON + 2 * SECOND, due=NOON + SECOND)).result == "done"
    assert [mail.recipients for mail in smtp.messages] == [(CLARA,), (ADA,), (ADA,)]


async def test_it_is_not_sent_again_for_ever(desk: Desk, smtp: SmtpSink) -> None:
    post = await posting(desk, smtp, retry_for={"minutes": 1})
    smtp.to_data.extend([DROP] * 3)
    for now in (NOON, NOON + 30 * SECOND):
        with pytest.raises(ApplicationError):
            await post.send(now)
    assert (await post.send(NOON + 60 * SECOND)).result == "unknown"
    assert len(smtp.messages) == 2


class Held(SmtpMail):
    """Waits with a letter in hand until it is told to go on."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.in_hand, self.go_on = asyncio.Event(), asyncio.Event()

    async def send(self, letter: Letter) -> Delivery:
        self.in_hand.set()
        await self.go_on.wait()
        return await super().send(letter)


async def test_who_was_overtaken_changes_nothing(desk: Desk, smtp: SmtpSink) -> None:
    """A worker that was thought dead hands over while another has the message in hand, and after it."""
    post = await posting(desk, smtp)
    first, second, third = (Held(smtp.port) for _ in range(3))
    attempts = []
    for seconds, held in enumerate((first, second, third)):
        attempts.append(asyncio.create_task(post.by(held).send(NOON + seconds * SECOND)))
        await held.in_hand.wait()
    smtp.to_data.append("451 4.3.0 later")
    first.go_on.set()
    with pytest.raises(ApplicationError, match="nothing is known for good"):
        await attempts[0]
    assert (await post.message())["state"] == "sending"
    third.go_on.set()
    assert (await attempts[2]).result == "done"
    second.go_on.set()
    assert (await attempts[1]).result == "done"
    assert {mail.message_id for mail in smtp.messages} == {message_id(post)}
    assert await post.events() == ["retry", "retry", "done"]
    assert (await post.message())["attempts"] == 3


# -- an operator's answer ----------------------------------------------------------------------------
async def test_whom_a_failed_one_did_not_reach_it_may_reach_when_it_is_retried(
    desk: Desk, smtp: SmtpSink
) -> None:
    post = await posting(desk, smtp, "responsible", "employee:ben")
    smtp.to_recipient[BEN].append("550 5.1.1 no such user")
    assert (await post.send()).result == "failed"
    await desk.run("delete from ledger")  # a new attempt under the same key
    assert (await post.send(NOON + SECOND)).result == "done"
    assert [mail.recipients for mail in smtp.messages] == [(ADA,), (BEN,)]
    assert (await post.message())["refused"] == {}


async def test_an_unknown_one_is_sent_again_when_that_is_asked_with_the_same_id(
    desk: Desk, smtp: SmtpSink
) -> None:
    post = await posting(desk, smtp, CLARA)
    smtp.to_data.append(DROP)
    assert (await post.send()).result == "unknown"
    await desk.run("delete from ledger")
    assert (await post.send(NOON + SECOND)).result == "done"
    assert [mail.message_id for mail in smtp.messages] == [message_id(post)] * 2


# -- a worker dies -----------------------------------------------------------------------------------
WORKER = """
import asyncio, sys
from datetime import datetime
from activities.catalogue import nature
from activities.providers.smtp import SmtpMail
from activities.sending import Sender
from db.engine import Database
from db.rows import Ids
from db.rulebook import Rulebook
from domain.journey import RuleRun
from tests.kinds.test_sending import HOUSE

async def main(url, port, record, at):
    at = datetime.fromisoformat(at)
    sender = Sender(Database(url), Rulebook(nature), Ids(), HOUSE, SmtpMail("127.0.0.1", int(port)))
    await sender.send(RuleRun(record_id=int(record), visit_no=1, rule="offer", turn=at, due=at), at)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("point", "to", "result", "arrived"),
    [
        ("sending.committed", "responsible", "done", 1),
        ("sending.before_data", "responsible", "done", 1),
        ("sending.after_250", "responsible", "done", 2),
        ("sending.before_data", "{{ contact.email }}", "unknown", 0),
        ("sending.after_250", "{{ contact.email }}", "unknown", 1),
    ],
)
async def test_a_worker_is_killed_while_it_sends(
    desk: Desk, smtp: SmtpSink, database_url: str, tmp_path: Path,
    point: str, to: str, result: str, arrived: int,
) -> None:  # fmt: skip
    post = await posting(desk, smtp, to)
    log = tmp_path / "killed"
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, database_url, str(smtp.port), str(post.record), NOON.isoformat(),
        env=os.environ | {"JALON_FAIL_POINT": point, "JALON_FAIL_POINT_LOG": str(log)},
    )  # fmt: skip
    assert await worker.wait() == -signal.SIGKILL
    assert log.read_text() == f"{point}\n"
    assert (await post.message())["state"] == "sending"
    assert (await post.send(NOON + SECOND)).result == result
    assert len(smtp.messages) == arrived
    assert {mail.message_id for mail in smtp.messages} <= {message_id(post)}
    assert "broke off" in await post.error()
    assert (await post.send(NOON + 2 * SECOND)).result == result
    assert len(smtp.messages) == arrived


async def test_a_database_that_is_away_for_a_moment_costs_no_certainty(
    desk: Desk, smtp: SmtpSink, database_url: str
) -> None:
    """The mail server has taken it; every connection is cut before that is written down."""
    post = await posting(desk, smtp, CLARA)
    held = Held(smtp.port)
    attempt = asyncio.create_task(post.by(held).send())
    await held.in_hand.wait()
    server = await asyncpg.connect(database_url)
    assert await server.fetch(CUT)
    await server.close()
    held.go_on.set()
    assert ((await attempt).result, len(smtp.messages)) == ("done", 1)


async def leave(desk: Desk, record: int) -> None:
    async with desk.locked(record) as locked:
        await move(locked, "offer", By("eve", NOON))
