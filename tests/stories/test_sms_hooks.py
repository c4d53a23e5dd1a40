"""SMS providers report how far messages came and what clients answer; nobody else can."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from activities.exceptions import Entry, add
from api.app import create_app
from api.routes.sms_hooks import signature
from db.engine import Database
from db.rows import Rows, write
from db.settings import Settings
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import Api, Stored, away
from tests.stories.test_api import refused

TOKEN, SECRET = SecretStr("12345"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = Settings(
    api_key=SecretStr("the key of the tests"), base_url="https://crm.example", sms_twilio_token=TOKEN,
    hook_secrets={"sms": SecretStr(SECRET)},
)  # fmt: skip
CLARA = "+491701234567"
REPLY = {"MessageSid": "SM9", "From": CLARA, "To": "+4915112345678", "Body": "Yes, grüße & danke"}


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """Without the key of the API: these prove themselves otherwise."""
    async with database.transaction() as tx:
        await builders.company(tx)
    app = create_app(SETTINGS, clock=lambda: NOON, database=database, connect=away)
    async with app.router.lifespan_context(app):
        async with Api(httpx2.ASGITransport(app=app, raise_app_exceptions=False)) as caller:
            yield caller


async def twilio(api: Api, path: str, form: dict[str, str], signed: str | None = None) -> httpx2.Response:
    """A call as Twilio makes it: without the key of the API, signed for the address the world knows."""
    own = signature(TOKEN, f"https://crm.example/api/v1/hooks/sms/{path}", [*form.items()])
    headers = {
        "Authorization": "", "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": own if signed is None else signed,
    }  # fmt: skip
    return await api.post(f"/hooks/sms/{path}", content=urlencode(form), headers=headers)


async def gateway(api: Api, signed: datetime = NOON, secret: str = SECRET, **body: Any) -> httpx2.Response:
    content = json.dumps(body)
    headers = {
        "Authorization": "", "webhook-id": "msg_1", "webhook-timestamp": str(int(signed.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", signed, content),
    }  # fmt: skip
    return await api.post("/hooks/sms/gateway", content=content, headers=headers)


async def a_message(database: Database, provider: str, provider_id: str = "") -> str:
    """An SMS that was handed over; answers its key."""
    row = {
        "id": "00000000-0000-4000-8000-000000000001", "record_id": 1, "visit_no": 1, "rule": "remind",
        "channel": "sms", "state": "sent", "message_id": "1.1.remind.0.1@firm.example", "sender": "Firm",
        "recipients": [CLARA], "content": "\\x", "created_at": NOON, "provider": provider,
        "provider_id": provider_id,
    }  # fmt: skip
    async with database.transaction() as tx:
        await write(tx, [Rows("message", [row])])
    return str(row["message_id"])


async def waiting(api: Api, database: Database, phones: list[str]) -> int:
    """A deal of a client with these numbers."""
    async with database.transaction() as tx:
        clara = await builders.contact(tx, phones=phones)
        return await builders.deal(tx, contact=clara)


# -- delivery reports --------------------------------------------------------------------------------
async def test_twilio_reports_how_far_a_message_came(api: Api, database: Database, stored: Stored) -> None:
    key = await a_message(database, "twilio")
    path = "twilio?" + urlencode({"key": key})
    for status, delivery in (("sent", "sent"), ("delivered", "delivered"), ("queued", "delivered")):
        answer = await twilio(api, path, {"MessageSid": "SM1", "MessageStatus": status})
        assert (answer.status_code, answer.content) == (204, b"")
        (row,) = await stored("select * from message")
        assert (row["delivery"], row["provider_id"], row["delivery_at"]) == (delivery, "SM1", NOON)


async def test_why_a_message_failed_is_kept(api: Api, database: Database, stored: Stored) -> None:
    await a_message(database, "twilio", "SM1")
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005"}
    assert (await twilio(api, "twilio", form)).status_code == 204
    (row,) = await stored("select * from message")
    assert (row["delivery"], row["delivery_error"]) == ("failed", "Twilio error 30005")


async def test_a_gateway_reports_under_its_signature(api: Api, database: Database, stored: Stored) -> None:
    key = await a_message(database, "gateway")
    answer = await gateway(api, type="delivery", id="g1", key=key, delivery="delivered")
    assert answer.status_code == 204, answer.text
    assert (await stored("select delivery from message")) == [{"delivery": "delivered"}]


async def test_a_report_of_a_message_nobody_knows_yet_is_kept_for_it(api: Api, stored: Stored) -> None:
    for _ in range(2):
        assert (await gateway(api, type="delivery", id="g1", delivery="sent")).status_code == 204
    (row,) = await stored("select * from sms_report")
    assert (row["provider"], row["provider_id"], row["delivery"]) == ("gateway", "g1", "sent")


async def test_a_status_that_says_nothing_changes_nothing(api: Api, stored: Stored) -> None:
    assert (await twilio(api, "twilio", {"MessageSid": "SM1", "MessageStatus": "reading"})).status_code == 204
    refused(await twilio(api, "twilio", {"MessageStatus": "sent"}), 422, "no-message")
    assert await stored("select * from sms_report") == []


# -- replies -----------------------------------------------------------------------------------------
async def test_a_reply_is_client_activity_once_and_bound_to_who_has_the_number(
    api: Api, database: Database, stored: Stored
) -> None:
    await waiting(api, database, ["+4930901820", CLARA])
    for _ in range(2):
        answer = await twilio(api, "twilio/reply", REPLY)
        assert (answer.status_code, answer.text) == (200, "<Response/>")
        assert answer.headers["content-type"].startswith("text/xml")
    (row,) = await stored("select * from client_activity")
    assert (row["external_id"], row["type"], row["at"]) == ("sms:twilio:SM9", "sms", NOON)
    assert row["contact_id"] is not None
    assert row["detail"] == {"from": CLARA, "to": "+4915112345678", "text": "Yes, grüße & danke"}


async def test_a_reply_to_a_gateway_says_when_it_was_sent(
    api: Api, database: Database, stored: Stored
) -> None:
    await waiting(api, database, [CLARA])
    at = (NOON - timedelta(minutes=1)).isoformat()
    answer = await gateway(api, type="reply", id="g7", sender="0170 1234567", text="Yes", at=at)
    assert answer.status_code == 204, answer.text
    (row,) = await stored("select * from client_activity")
    assert (row["external_id"], row["at"]) == ("sms:gateway:g7", NOON - timedelta(minutes=1))


async def test_a_number_nobody_has_leaves_a_line_in_the_log_without_it(api: Api, stored: Stored) -> None:
    with capture_logs() as lines:
        assert (await twilio(api, "twilio/reply", REPLY)).status_code == 200
        assert (await twilio(api, "twilio/reply", REPLY | {"From": "Bank"})).status_code == 200
    assert [line["event"] for line in lines].count("an SMS came from nobody we know") == 2
    assert "1234567" not in str(lines)
    assert await stored("select * from client_activity") == []


async def test_a_reply_of_who_is_on_the_exception_list_is_kept_aside(
    api: Api, database: Database, stored: Stored
) -> None:
    await waiting(api, database, [CLARA])
    async with database.transaction() as tx:
        await add(tx, [Entry(CLARA, "phone")], "eve", NOON)
    assert (await twilio(api, "twilio/reply", REPLY)).status_code == 200
    assert await stored("select * from client_activity") == []
    assert len(await stored("select * from quarantined")) == 1


# -- F44: forged, old --------------------------------------------------------------------------------
async def test_what_twilio_did_not_sign_is_refused_without_a_trace(
    api: Api, database: Database, stored: Stored
) -> None:
    await waiting(api, database, [CLARA])
    called = "https://crm.example/api/v1/hooks/sms/twilio/reply"
    wrong = signature(SecretStr("another"), called, [*REPLY.items()])
    elsewhere = signature(TOKEN, "https://crm.example/api/v1/hooks/sms/twilio", [*REPLY.items()])
    for signed in ("", "nonsense", wrong, elsewhere):
        refused(await twilio(api, "twilio/reply", REPLY, signed), 401, "forged")
    assert await stored("select * from client_activity") == []


async def test_a_form_that_was_changed_on_its_way_is_refused(api: Api) -> None:
    signed = signature(TOKEN, "https://crm.example/api/v1/hooks/sms/twilio/reply", [*REPLY.items()])
    refused(await twilio(api, "twilio/reply", REPLY | {"Body": "No"}, signed), 401, "forged")


def test_the_signature_is_the_one_of_twilios_documentation() -> None:
    """The example of https://www.twilio.com/docs/usage/security."""
    form = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
        "To": "+18005551212",
    }  # fmt: skip
    made = signature(TOKEN, "https://mycompany.com/myapp.php?foo=1&bar=2", [*form.items()])
    assert made == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_a_gateways_old_or_early_message_is_refused(api: Api, stored: Stored, minutes: int) -> None:
    at = NOON + timedelta(minutes=minutes)
    refused(await gateway(api, at, type="delivery", id="g1", delivery="sent"), 401, "outdated")
    assert await stored("select * from sms_report") == []


async def test_a_gateways_forged_message_is_refused(api: Api, stored: Stored) -> None:
    wrong = "whsec_" + "A" * 32
    refused(await gateway(api, secret=wrong, type="delivery", id="g1", delivery="sent"), 401, "forged")
    assert await stored("select * from sms_report") == []


async def test_a_signed_body_that_is_none_is_told(api: Api) -> None:
    answer = await gateway(api, type="delivery", id="g1", delivery="perhaps")
    assert refused(answer, 422, "invalid-request")["errors"][0]["place"] == "/delivery"
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": str(int(NOON.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", NOON, "nonsense"),
    }  # fmt: skip
    refused(await api.post("/hooks/sms/gateway", content="nonsense", headers=headers), 422, "invalid-request")


async def test_without_a_secret_nothing_is_taken(database: Database) -> None:
    bare = SETTINGS.model_copy(update={"hook_secrets": {}, "sms_twilio_token": SecretStr("")})
    app = create_app(bare, clock=lambda: NOON, database=database, connect=away)
    async with app.router.lifespan_context(app):
        async with Api(httpx2.ASGITransport(app=app, raise_app_exceptions=False)) as caller:
            refused(await twilio(caller, "twilio/reply", REPLY), 404, "unknown-source")
            refused(await gateway(caller, type="delivery", id="g1", delivery="sent"), 404, "unknown-source")
