"""SMS providers: what is asked of them, and that whatever they answer is bounded and never guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog

from activities.providers.exchange import MOST, retry_after
from activities.providers.mail import Ambiguous, NotSent
from activities.providers.sms import Sms, SmsProvider, Taken
from activities.providers.sms_console import ConsoleSms
from activities.providers.sms_gateway import GatewaySms
from activities.providers.sms_twilio import TwilioSms
from db.settings import Settings
from tests.sms_fake import (
    ACCOUNT,
    BROKEN,
    CUT,
    ELSEWHERE,
    GARBAGE,
    HANGS,
    HUGE,
    SWOLLEN,
    TOKEN,
    WRONG_SHAPE,
    Fault,
    SmsFake,
    busy,
    refused,
)
from worker.running import sms_of

SMS = Sms("17.1.remind.0.1@company.example", "+4915112345678", "+491701234567", "Grüße, bis 9:00 & später")


@pytest.fixture(params=["twilio", "gateway"])
async def provider(request: pytest.FixtureRequest, sms: SmsFake) -> AsyncIterator[SmsProvider]:
    """Both that speak HTTP, in turn."""
    made = made_of(str(request.param), sms)
    yield made
    await made.close()


def made_of(name: str, sms: SmsFake, **how: float) -> SmsProvider:
    if name == "twilio":
        return TwilioSms(sms.url, ACCOUNT, TOKEN, reports="https://crm.example/hook", **how)  # type: ignore[arg-type]
    return GatewaySms(sms.gateway, TOKEN, reports="https://crm.example/hook", **how)  # type: ignore[arg-type]


async def test_what_is_taken_has_the_providers_number(provider: SmsProvider, sms: SmsFake) -> None:
    taken = await provider.send(SMS)
    (took,) = sms.took
    assert taken == Taken(took.provider_id)
    assert (took.to, took.sender, took.text) == (SMS.to, SMS.sender, SMS.text)


async def test_twilio_is_told_the_key_with_the_address_for_reports(sms: SmsFake) -> None:
    await made_of("twilio", sms).send(SMS)
    address = urlsplit(sms.took[0].reports)
    assert (address.netloc, parse_qs(address.query)) == ("crm.example", {"key": [SMS.key]})


async def test_a_messaging_service_of_twilio_may_be_the_sender(sms: SmsFake) -> None:
    await made_of("twilio", sms).send(SMS._replace(sender="MG" + "0" * 32))
    assert sms.took[0].sender == "MG" + "0" * 32


async def test_a_gateway_that_is_given_a_key_twice_sends_once(sms: SmsFake) -> None:
    provider = made_of("gateway", sms)
    assert await provider.send(SMS) == await provider.send(SMS)
    assert [took.key for took in sms.took] == [SMS.key]


async def test_a_gateway_knows_a_message_by_its_key_and_twilio_cannot_be_asked(sms: SmsFake) -> None:
    gateway = made_of("gateway", sms)
    assert await gateway.find(SMS.key) is None
    taken = await gateway.send(SMS)
    assert await gateway.find(SMS.key) == taken
    assert await made_of("twilio", sms).find(SMS.key) is None


@pytest.mark.parametrize(("said", "after"), [("", None), ("7", timedelta(seconds=7))])
async def test_a_busy_provider_is_asked_again_when_it_says(
    provider: SmsProvider, sms: SmsFake, said: str, after: timedelta | None
) -> None:
    sms.faults.append(busy(said))
    with pytest.raises(NotSent) as later:
        await provider.send(SMS)
    assert (later.value.temporary, later.value.after) == (True, after)
    assert sms.took == []


@pytest.mark.parametrize(
    ("written", "after"),
    [
        ("0", timedelta(0)), ("120", timedelta(minutes=2)), ("99999999999", timedelta(days=1)),
        ("Mon, 02 Mar 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 02 Mar 2026 11:00:00 GMT", timedelta(0)), ("soon", None), ("-5", None), ("", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(written: str, after: timedelta | None) -> None:
    assert retry_after({"retry-after": written, "date": "Mon, 02 Mar 2026 12:00:00 GMT"}) == after


def test_a_date_without_the_date_of_the_answer_says_nothing() -> None:
    assert retry_after({"retry-after": "Mon, 02 Mar 2026 12:00:30 GMT"}) is None


async def test_a_final_refusal_says_why(provider: SmsProvider, sms: SmsFake) -> None:
    sms.faults.append(refused(400, "The 'To' number is not valid."))
    with pytest.raises(NotSent) as final:
        await provider.send(SMS)
    assert not final.value.temporary
    assert "400 The 'To' number is not valid." in final.value.message


@pytest.mark.parametrize("fault", [BROKEN, GARBAGE, WRONG_SHAPE, CUT], ids=["500", "html", "shape", "cut"])
async def test_no_answer_or_one_that_is_none_says_nothing_of_what_was_done(
    provider: SmsProvider, sms: SmsFake, fault: Fault
) -> None:
    sms.faults.append(fault)
    with pytest.raises(Ambiguous):
        await provider.send(SMS)
    assert len(sms.took) == 1


@pytest.mark.parametrize("name", ["twilio", "gateway"])
async def test_a_provider_that_hangs_is_given_up(sms: SmsFake, name: str) -> None:
    sms.faults.append(HANGS)
    with pytest.raises(Ambiguous):
        await made_of(name, sms, timeout=0.3).send(SMS)


async def test_of_a_huge_answer_no_more_than_a_mebibyte_is_read(provider: SmsProvider, sms: SmsFake) -> None:
    sms.faults.append(SWOLLEN)
    with pytest.raises(Ambiguous):
        await provider.send(SMS)
    assert MOST < sms.sent_of_huge < HUGE / 4  # beside what is read, what lies in buffers


async def test_no_redirect_is_followed(provider: SmsProvider, sms: SmsFake) -> None:
    sms.faults.append(ELSEWHERE)
    with pytest.raises(NotSent) as final:
        await provider.send(SMS)
    assert not final.value.temporary
    assert len(sms.asked) == 1


async def test_a_provider_that_is_away_has_not_sent_it(sms: SmsFake) -> None:
    for away in (TwilioSms("http://127.0.0.1:1", ACCOUNT, TOKEN), GatewaySms("http://127.0.0.1:1/sms")):
        with pytest.raises(NotSent) as later:
            await away.send(SMS)
        assert later.value.temporary
        assert await away.find(SMS.key) is None


async def test_an_address_that_is_none_is_final() -> None:
    with pytest.raises(NotSent) as final:
        await GatewaySms("ftp://gateway.example/sms").send(SMS)
    assert not final.value.temporary


async def test_the_console_writes_neither_text_nor_number() -> None:
    with structlog.testing.capture_logs() as lines:
        assert (await ConsoleSms().send(SMS)).provider_id
    assert SMS.text not in str(lines)
    assert SMS.to not in str(lines)
    assert SMS.key in str(lines)


# -- settings ----------------------------------------------------------------------------------------
def test_without_settings_sms_go_to_the_log() -> None:
    assert {name: type(made) for name, made in sms_of(Settings()).items()} == {"console": ConsoleSms}


def test_the_settings_make_the_providers() -> None:
    chosen = Settings(
        sms_provider="twilio", sms_twilio_account=ACCOUNT, sms_gateway_url="http://127.0.0.1:1/sms"
    )
    made = {name: type(one) for name, one in sms_of(chosen).items()}
    assert made == {"twilio": TwilioSms, "gateway": GatewaySms}


def test_a_provider_that_cannot_be_reached_may_not_be_chosen() -> None:
    with pytest.raises(ValueError, match="nothing says how to reach it"):
        Settings(sms_provider="gateway")
