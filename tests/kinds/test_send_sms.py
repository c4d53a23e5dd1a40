"""SMS that rules send: one each, with its parts counted, and never twice where that cannot be known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.act import MailIdentity, SmsIdentity
from activities.deliveries import Delivery, Report, note
from activities.house import House
from activities.providers.console import ConsoleMail
from activities.providers.sms import SmsProvider
from activities.providers.sms_gateway import GatewaySms
from activities.providers.sms_twilio import TwilioSms
from activities.sending import Sender
from db.records import By, move
from domain.events import Outcome
from domain.journey import RuleRun
from domain.sms import MOST_SEGMENTS, may_be_mobile, segments
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save
from tests.sms_fake import ACCOUNT, BROKEN, CUT, TOKEN, SmsFake, busy, refused

ADA, BEN, CLARA, LANDLINE = "+4915112345678", "+4915112345679", "+491701234567", "+4930901820"
HOUSE = House(
    mail=MailIdentity("company.example", "crm@company.example"),
    sms=SmsIdentity("gateway", ("gateway", "twilio"), "Firm"),
)
SECOND = timedelta(seconds=1)


class Post:
    """A deal with one rule that sends SMS, and the worker that sends them."""

    def __init__(self, desk: Desk, record: int, providers: dict[str, SmsProvider]) -> None:
        self.desk, self.record = desk, record
        self.sender = Sender(desk.database, desk.book, desk.ids, HOUSE, ConsoleMail(), providers)

    async def send(self, now: Any = NOON, *, due: Any = None) -> Outcome:
        """One attempt, as the activity makes it."""
        asked = RuleRun(record_id=self.record, visit_no=1, rule="remind", turn=NOON, due=due or now)
        return await self.sender.send(asked, now)

    async def messages(self) -> list[dict[str, Any]]:
        return await self.desk.rows("message", order="message_id")

    async def results(self) -> dict[str, Any]:
        return dict((await self.desk.row("ledger"))["results"])

    async def error(self) -> str:
        """The last error the journal tells of."""
        told = [detail for *_, detail in await self.desk.journal(self.record)]
        return str([detail["error"] for detail in told if "error" in detail][-1])

    async def events(self) -> list[str]:
        return [event for event, rule, _, _ in await self.desk.journal(self.record) if rule]

    async def reported(
        self, provider_id: str, delivery: Delivery, provider: str = "gateway", **more: str
    ) -> None:
        async with self.desk.database.transaction() as tx:
            await note(tx, Report(provider, provider_id, delivery, **more), NOON + SECOND)


@pytest.fixture
async def providers(sms: SmsFake) -> AsyncIterator[dict[str, SmsProvider]]:
    gateway, twilio = GatewaySms(sms.gateway, TOKEN), TwilioSms(sms.url, ACCOUNT, TOKEN)
    yield {"gateway": gateway, "twilio": twilio}
    await gateway.close()
    await twilio.close()


@pytest.fixture
async def staffed(desk: Desk) -> Desk:
    """The company, with Ada's and Ben's mobiles."""
    numbers = (("ada", "0151 12345678"), ("ben", ADA[:-1] + "9"))
    for who, number in numbers:
        await desk.run(f"update employee set mobile = '{number}' where id = '{who}'")
    return desk


async def posting(
    desk: Desk, providers: dict[str, SmsProvider], *to: str, phones: list[str] | None = None,
    text: str = "We come at nine.", rule: dict[str, Any] | None = None, **how: Any,
) -> Post:  # fmt: skip
    """`how`: further parameters; `rule`: what the rule says beside them."""
    params = {"recipients": list(to or ["responsible"]), "text": text} | how
    one = {"id": "remind", "kind": "send_sms", "params": params} | (rule or {})
    async with desk.database.transaction() as tx:
        await builders.rule_set(tx, {"new": [one]})
        clara = await builders.contact(tx, phones=[CLARA] if phones is None else phones)
        record = await builders.deal(tx, contact=clara, responsible="ada")
    return Post(desk, record, providers)


def key(post: Post, number: int = 1) -> str:
    return f"{post.record}.1.remind.0.{number}@company.example"


Providers = dict[str, SmsProvider]


# -- the effect --------------------------------------------------------------------------------------
async def test_by_default_the_responsible_gets_it(staffed: Desk, sms: SmsFake, providers: Providers) -> None:
    post = await posting(staffed, providers, text="{{ record.title }}: at nine.")
    outcome = await post.send()
    assert (outcome.result, outcome.at) == ("done", NOON)
    (took,) = sms.took
    assert (took.to, took.sender, took.text) == (ADA, "Firm", "A roof for Klein: at nine.")
    assert took.key == key(post)
    assert await post.results() == {"message_ids": [key(post)], "recipients": [ADA], "segments": 1}
    (row,) = await post.messages()
    assert (row["channel"], row["state"], row["provider"], row["segments"]) == ("sms", "sent", "gateway", 1)
    assert (row["provider_id"], row["sent_at"]) == (took.provider_id, NOON)
    assert row["employees"] == {ADA: "Ada"}
    assert await post.events() == ["done"]


async def test_each_gets_one_of_their_own_and_nobody_two(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    to = ["employee:ben", "responsible", "department:sales", "{{ contact.phone }}", "0170 1234567"]
    await staffed.run("update employee set active = false where id = 'hugo'")
    post = await posting(staffed, providers, *to, text="ж" * 71)
    assert (await post.send()).result == "done"
    assert sorted((took.to, took.key) for took in sms.took) == sorted(
        [(BEN, key(post, 1)), (ADA, key(post, 2)), (CLARA, key(post, 3))]
    )
    assert [row["recipients"] for row in await post.messages()] == [[BEN], [ADA], [CLARA]]
    assert [row["segments"] for row in await post.messages()] == [2, 2, 2]
    results = await post.results()
    assert (results["recipients"], results["segments"]) == ([BEN, ADA, CLARA], 6)


async def test_sender_and_provider_are_what_the_rule_says(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, sender="+4930123456", provider="twilio")
    assert (await post.send()).result == "done"
    assert sms.asked == [f"POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json"]
    assert sms.took[0].sender == "+4930123456"


async def test_absent_employees_may_be_left_out(staffed: Desk, sms: SmsFake, providers: Providers) -> None:
    await staffed.run(lambda tx: builders.absence(tx, "ada", NOON - SECOND, NOON + SECOND))
    post = await posting(staffed, providers, "responsible", "employee:ben", skip_absent=True)
    assert (await post.send()).result == "done"
    assert [took.to for took in sms.took] == [BEN]
    alone = await posting(staffed, providers, "responsible", skip_absent=True)
    assert (await alone.send()).reason == "nobody"


async def test_of_a_clients_numbers_those_count_that_may_be_mobile(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}", phones=[LANDLINE, CLARA, "nonsense"])
    assert (await post.send()).result == "done"
    assert [took.to for took in sms.took] == [CLARA]


async def test_without_a_mobile_the_phone_of_an_employee_counts_if_it_may_be_one(
    desk: Desk, sms: SmsFake, providers: Providers
) -> None:
    await desk.run("update employee set phone = '0151 12345678' where id = 'ada'")
    await desk.run(f"update employee set phone = '{LANDLINE}' where id = 'ben'")
    post = await posting(desk, providers, "responsible", "employee:ben")
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "no_mobile")
    assert [took.to for took in sms.took] == [ADA]


async def test_what_was_sent_can_be_quoted_by_a_later_rule(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    await post.send()
    done = "{{ steps.remind.recipients }} in {{ steps.remind.segments }}"
    await staffed.does(post.record, "add_comment", text=done)
    assert (await staffed.row("comment"))["body"] == f"{ADA} in 1"


# -- what cannot be sent -----------------------------------------------------------------------------
async def test_who_has_no_mobile_fails_it_once_the_others_were_served(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "employee:hugo", "responsible", "{{ contact.phone }}", phones=[])
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "no_mobile")
    assert [took.to for took in sms.took] == [ADA]
    assert await post.error() == "Hugo: has no mobile number; Clara Klein: has no mobile number"
    assert (await post.results())["recipients"] == [ADA]
    assert [row["state"] for row in await post.messages()] == ["sent", "failed", "failed"]
    assert (await post.send(NOON + SECOND)).result == "failed"
    assert len(sms.took) == 1


@pytest.mark.parametrize(
    ("to", "text", "reason"),
    [
        (["employee:hugo"], "Hello", "no_mobile"),
        (["{{ company.phone }}"], "Hello", "no_mobile"),
        (["department:nobody-is-in"], "Hello", "nobody"),
        (["responsible"], "  {{ contact.birthday }}\n", "text_empty"),
        (["responsible"], "{{ record.title }}" * 100, "too_long"),
    ],
)
async def test_what_cannot_be_composed_fails_without_a_message(
    staffed: Desk, sms: SmsFake, providers: Providers, to: list[str], text: str, reason: str
) -> None:
    post = await posting(staffed, providers, *to, text=text)
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", reason)
    assert (await post.messages(), sms.asked) == ([], [])


async def test_a_provider_without_an_account_fails_it(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, provider="console")
    assert (await post.send()).reason == "no_provider"
    gone = await posting(staffed, {}, "responsible")
    outcome = await gone.send()
    assert (outcome.result, outcome.reason, sms.asked) == ("failed", "refused", [])


async def test_of_two_one_is_refused_and_the_other_is_served(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    sms.to[ADA].append(refused(400, "no such number"))
    post = await posting(staffed, providers, "responsible", "employee:ben")
    outcome = await post.send()
    assert (outcome.result, outcome.reason) == ("failed", "refused")
    assert await post.error() == f"Ada <{ADA}>: 400 no such number"
    assert [took.to for took in sms.took] == [BEN]
    assert (await post.results())["message_ids"] == [key(post, 2)]
    assert "remind" in (await staffed.row("notification", "employee_id = 'eve'"))["body"]


# -- run twice, run late -----------------------------------------------------------------------------
async def test_run_twice_it_sends_once(staffed: Desk, sms: SmsFake, providers: Providers) -> None:
    post = await posting(staffed, providers)
    assert await post.send() == await post.send(NOON + SECOND, due=NOON)
    assert len(sms.asked) == 1


async def test_after_the_stage_was_left_nothing_is_sent(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    async with staffed.locked(post.record) as locked:
        await move(locked, "offer", By("eve", NOON))
    assert (await post.send()).result == "stale"
    assert (await post.messages(), sms.asked) == ([], [])


# -- F41: the provider is busy -----------------------------------------------------------------------
@pytest.mark.parametrize(("said", "seconds"), [("", 1), ("120", 120)])
async def test_a_busy_provider_is_left_alone_as_long_as_it_says_and_nothing_goes_twice(
    staffed: Desk, sms: SmsFake, providers: Providers, said: str, seconds: int
) -> None:
    post = await posting(staffed, providers, "employee:ben", "responsible")
    sms.faults.append(busy(said))
    outcome = await post.send()
    assert (outcome.result, outcome.waiting) == ("pending", "retry")
    assert outcome.due == NOON + seconds * SECOND
    assert await staffed.rows("ledger") == []  # the key was given back
    assert (await post.send(outcome.due)).result == "done"
    assert sorted(took.to for took in sms.took) == [ADA, BEN]
    assert await post.events() == ["retry", "done"]


async def test_it_is_not_tried_for_longer_than_it_is_to_be(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, rule={"retry_for": {"minutes": 1}})
    sms.faults.extend([busy("3600"), busy()])
    assert (await post.send()).due == NOON + 60 * SECOND
    outcome = await post.send(NOON + 60 * SECOND)
    assert (outcome.result, outcome.reason, sms.took) == ("failed", "retry_for", [])


async def test_each_attempt_after_a_refusal_passes_the_fence_again(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    sms.faults.append(busy())
    await post.send()
    async with staffed.locked(post.record) as locked:
        await move(locked, "offer", By("eve", NOON))
    assert ((await post.send(NOON + SECOND)).result, sms.took) == ("stale", [])


# -- F42: it may have been taken ---------------------------------------------------------------------
@pytest.mark.parametrize("fault", [BROKEN, CUT], ids=["500", "cut"])
async def test_a_gateway_is_asked_by_key_before_anything_is_unknown(
    staffed: Desk, sms: SmsFake, providers: Providers, fault: Any
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}")
    sms.faults.append(fault)
    assert (await post.send()).result == "done"
    assert len(sms.took) == 1
    assert (await post.messages())[0]["provider_id"] == sms.took[0].provider_id


async def test_where_nobody_can_be_asked_a_client_is_for_an_operator_and_the_rest_is_served(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}", "responsible", provider="twilio")
    sms.to[CLARA].append(CUT)
    assert (await post.send()).result == "unknown"
    assert [row["state"] for row in await post.messages()] == ["sent", "unknown"]
    assert "gave no answer" in await post.error()
    assert (await post.results())["recipients"] == [ADA]
    assert len(sms.took) == 2
    assert (await post.send(NOON + SECOND)).result == "unknown"
    assert len(sms.took) == 2


async def test_to_employees_it_is_sent_again_with_the_same_key(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, provider="twilio")
    sms.faults.append(CUT)
    with pytest.raises(ApplicationError):
        await post.send()
    assert (await post.messages())[0]["state"] == "sending"
    assert (await post.send(NOON + SECOND, due=NOON)).result == "done"
    assert [took.to for took in sms.took] == [ADA, ADA]
    assert [row["message_id"] for row in await post.messages()] == [key(post)]


async def test_a_worker_that_died_leaves_nothing_to_guess_where_the_provider_can_be_asked(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    """It died with the first of two on its way and the second in hand."""
    post = await posting(staffed, providers, "{{ contact.phone }}", "+49 170 7654321")
    await post.send()
    await staffed.run(
        "delete from ledger", "update message set state = 'sending', provider_id = '', accepted = '[]'"
    )
    sms.took.pop()
    assert (await post.send(NOON + SECOND, due=NOON)).result == "unknown"
    assert [row["state"] for row in await post.messages()] == ["sent", "unknown"]
    assert len(sms.took) == 1


async def test_what_was_refused_for_the_moment_is_tried_again_and_what_is_unknown_is_not(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}", "responsible", provider="twilio")
    sms.to[CLARA].append(CUT)
    sms.to[ADA].append(busy())
    with pytest.raises(ApplicationError) as again:  # under way: nothing can end it as if it had not acted
        await post.send()
    assert again.value.next_retry_delay == SECOND
    assert [row["state"] for row in await post.messages()] == ["failed", "unknown"]
    assert (await post.send(NOON + SECOND, due=NOON)).result == "unknown"
    assert [took.to for took in sms.took] == [CLARA, ADA]


# -- F43: delivery reports ---------------------------------------------------------------------------
async def test_reports_in_any_order_and_doubled_come_to_the_same(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    await post.send()
    number = sms.took[0].provider_id
    seen = []
    reports: list[Delivery] = ["sent", "queued", "failed", "failed", "delivered", "sent", "failed"]
    for one in reports:
        await post.reported(number, one, error="absent subscriber" if one == "failed" else "")
        seen.append((await post.messages())[0]["delivery"])
    assert seen == ["sent", "sent", "failed", "failed", "delivered", "delivered", "delivered"]
    (row,) = await post.messages()
    assert (row["delivery_at"], row["delivery_error"], row["state"]) == (NOON + SECOND, "", "sent")


async def test_what_did_not_arrive_is_journaled_and_told_and_so_is_what_arrived_after_all(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}")
    await post.send()
    number = sms.took[0].provider_id
    reports: list[Delivery] = ["sent", "failed", "failed", "sent", "delivered", "failed", "delivered"]
    for one in reports:
        await post.reported(number, one, error="absent subscriber" if one == "failed" else "")
    lines = [(event, detail) for event, _, _, detail in await staffed.journal(post.record)]
    assert lines[-2:] == [
        ("undelivered", {"recipients": [CLARA], "error": "absent subscriber"}),
        ("delivered", {"recipients": [CLARA], "error": ""}),
    ]
    told = await staffed.rows("notification", order="id")
    assert [(row["employee_id"], row["rule"]) for row in told] == [("ada", "remind")] * 2
    assert f"to {CLARA} did not arrive: absent subscriber" in told[0]["body"]
    assert "arrived after all" in told[1]["body"]


async def test_of_a_failure_reported_before_our_own_commit_people_hear_too(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    await post.reported("SM" + "0" * 32, "failed", error="unknown number")
    assert await staffed.rows("notification") == []
    await post.send()
    assert (await post.messages())[0]["delivery"] == "failed"
    assert "unknown number" in (await staffed.row("notification"))["body"]


async def test_a_report_before_our_own_commit_waits_for_it(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    for delivery in ("delivered", "sent"):
        await post.reported("SM" + "0" * 32, delivery)  # type: ignore[arg-type]
    assert (await staffed.row("sms_report"))["delivery"] == "delivered"
    await post.send()
    (row,) = await post.messages()
    assert (row["delivery"], row["delivery_at"]) == ("delivered", NOON + SECOND)
    assert await staffed.rows("sms_report") == []


async def test_reports_that_come_while_the_message_is_settled_are_not_lost(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    to = ["responsible", "employee:ben", "{{ contact.phone }}", "+491701234568", "+491701234569"]
    post = await posting(staffed, providers, *to)
    numbers = [f"SM{number:032x}" for number in range(len(to))]
    early: list[Delivery] = ["delivered", "sent"]
    calls = [post.reported(number, one) for one in early for number in numbers]
    outcome, *_ = await asyncio.gather(post.send(), *calls)
    assert outcome.result == "done"
    assert [row["delivery"] for row in await post.messages()] == ["delivered"] * len(to)
    assert await staffed.rows("sms_report") == []


async def test_a_report_says_that_a_message_of_unknown_fate_was_taken(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}", provider="twilio")
    sms.faults.append(CUT)
    assert (await post.send()).result == "unknown"
    await post.reported("SM1", "delivered", "twilio", key=key(post))
    (row,) = await post.messages()
    assert (row["state"], row["accepted"], row["delivery"]) == ("sent", [CLARA], "delivered")
    step = await staffed.row("ledger")  # which says the same
    results = {"message_ids": [row["message_id"]], "recipients": [CLARA], "segments": 1}
    assert (step["outcome"], step["reason"], step["error"], step["results"]) == ("done", "", "", results)
    said = [(event, actor) for event, rule, actor, _ in await staffed.journal(post.record) if rule]
    assert said == [("unknown", "system"), ("done", "twilio")]
    assert (await post.send(NOON + SECOND)).result == "done"
    await staffed.run("delete from ledger")  # an operator asks for it again
    assert (await post.send(NOON + SECOND)).result == "done"
    assert len(sms.took) == 1


async def test_a_step_of_which_one_message_is_unknown_still_stays_unknown(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers, "{{ contact.phone }}", "responsible", provider="twilio")
    sms.to[CLARA].append(CUT)
    sms.to[ADA].append(CUT)
    with pytest.raises(ApplicationError):  # to an employee it is tried again
        await post.send()
    sms.to[ADA].append(refused(400, "no such number"))
    assert (await post.send(NOON + SECOND, due=NOON)).result == "unknown"
    assert [row["state"] for row in await post.messages()] == ["unknown", "unknown"]
    keys = [row["message_id"] for row in await post.messages()]
    await post.reported("SM1", "delivered", "twilio", key=keys[0])
    assert (await staffed.row("ledger"))["outcome"] == "unknown"
    await post.reported("SM2", "delivered", "twilio", key=keys[1])
    assert (await staffed.row("ledger"))["outcome"] == "done"


async def test_another_providers_report_changes_nothing(
    staffed: Desk, sms: SmsFake, providers: Providers
) -> None:
    post = await posting(staffed, providers)
    await post.send()
    await post.reported(sms.took[0].provider_id, "delivered", "twilio", key=key(post))
    assert (await post.messages())[0]["delivery"] == ""


# -- what an SMS is ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3),
        ("€" * 80, 1), ("€" * 81, 2), ("a" * 152 + "€" + "a" * 152, 3), ("ç" * 70, 1), ("ç" * 71, 2),
        ("ж" * 134, 2), ("ж" * 135, 3), ("😀" * 35, 1), ("😀" * 36, 2), ("😀" * 66, 2), ("😀" * 67, 3),
        ("@£$¥èéùìòÇ\nØøÅåΔ_", 1),
    ],
)  # fmt: skip
def test_the_parts_of_a_text_are_those_of_gsm_or_ucs2(text: str, parts: int) -> None:
    assert segments(text) == parts


def test_which_numbers_may_be_mobile() -> None:
    numbers = (CLARA, LANDLINE, "+12025550123", "+49112", "nonsense")
    assert [may_be_mobile(number) for number in numbers] == [True, False, True, False, False]


# -- refused on save ---------------------------------------------------------------------------------
def test_what_is_refused_on_save() -> None:
    assert "/text" in refused_on_save("send_sms")
    assert "/text" in refused_on_save("send_sms", text="  ")
    assert f"may be {MOST_SEGMENTS}" in refused_on_save("send_sms", text="a" * 1531)["/text"]
    assert refused_on_save("send_sms", text="a" * 1530) == {}
    assert refused_on_save("send_sms", text="a" * 1500 + "{{ record.title }}" * 9) == {}
    assert refused_on_save("send_sms", text="Hi", recipients=[])["/recipients"] == "nobody is addressed"
    assert "/recipients/1" in refused_on_save("send_sms", text="Hi", recipients=["responsible", "adda"])
    wrong = refused_on_save("send_sms", text="Hi", recipients=["employee:adda"])
    assert "did you mean 'ada'" in wrong["/recipients/0"]
    fits = [CLARA, "0170 / 1234567", "{{ contact.phone }}"]
    assert refused_on_save("send_sms", text="Hi", recipients=fits) == {}
    assert "no phone number" in refused_on_save("send_sms", text="Hi", recipients=["12"])["/recipients/0"]
    assert "/recipients/0" in refused_on_save("send_sms", text="Hi", recipients=["+49"])
    assert "/sender" in refused_on_save("send_sms", text="Hi", sender="A name far too long")
    assert refused_on_save("send_sms", text="Hi", sender="Klein 24") == {}
    assert "/provider" in refused_on_save("send_sms", text="Hi", provider="pigeon")
    assert "/colour" in refused_on_save("send_sms", text="Hi", colour="red")
