"""What other systems send: verified after Standard Webhooks, once, and nothing from whom is on the list."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from api.app import create_app
from api.auth import SELF_GUARDED
from api.webhooks import verified
from db.engine import Database
from db.settings import Settings
from domain.errors import Refused
from tests import builders
from tests.builders import NOON
from tests.stories.conftest import KEY, Api, Stored, away

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes.").decode()
OTHER = "whsec_" + base64.b64encode(b"the secret of somebody else here").decode()
MAIL = (
    b"From: Clara <clara@client.example>\r\nTo: crm@company.example\r\nSubject: Gr\xfc\xdfe\r\n"
    b"Message-ID: <1@client.example>\r\n\r\nYes, please. \xfc\r\n"
)
WAIT = {"id": "paid", "kind": "wait", "params": {"until": {"after": {"days": 3}}, "ends_on": ["payment"]}}


def signed(body: bytes, *, hook: str = "msg_1", at: datetime = NOON, secret: str = SECRET) -> dict[str, Any]:
    """As the library of Standard Webhooks signs it."""
    signature = Webhook(secret).sign(hook, at, body.decode()) if body.isascii() else ""
    if not signature:  # the library knows UTF-8 alone
        whole = f"{hook}.{int(at.timestamp())}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signature = "v1," + base64.b64encode(hmac.digest(key, whole, "sha256")).decode()
    return {
        "webhook-id": hook, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature,
    }  # fmt: skip


@pytest.fixture
async def hooks(database: Database) -> AsyncIterator[Api]:
    """The API with two sources, the mail and a bank; the caller has no key."""
    async with database.transaction() as tx:
        await builders.company(tx)
        clara = await builders.contact(tx, phones=["+4930123456"])
        await builders.rule_set(tx, {"new": [WAIT]})
        await builders.deal(tx, contact=clara)
    settings = Settings(
        api_key=SecretStr(KEY), hook_secrets={"email": SecretStr(SECRET), "bank": SecretStr(SECRET)}
    )
    clock = lambda: caller.now  # noqa: E731 - the caller is made after the application
    app = create_app(settings, clock=clock, database=database, connect=away)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with Api(transport) as caller:
            del caller.headers["Authorization"]
            yield caller


def payment(**more: Any) -> bytes:
    given = {"type": "payment", "email": "clara@client.example", "detail": {"amount": 10}}
    return json.dumps(given | more).encode()


async def reported(api: Api, body: bytes, source: str = "bank", **how: Any) -> Any:
    answer = await api.post(f"/hooks/{source}", content=body, headers=signed(body, **how))
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- who may ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["bank", "email"])
async def test_what_is_forged_old_or_unsigned_is_refused_and_does_nothing(
    hooks: Api, stored: Stored, source: str
) -> None:
    body = MAIL if source == "email" else payment()
    good = signed(body)
    five, second = timedelta(minutes=5), timedelta(seconds=1)
    wrong: dict[str, list[dict[str, Any]]] = {
        "forged": [
            signed(body, secret=OTHER),
            signed(body + b" "),
            good | {"webhook-id": "msg_2"},
            good | {"webhook-timestamp": str(int(NOON.timestamp()) + 1)},
            good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
            good | {"webhook-signature": "v1, v1,= \xe4".encode("latin-1")},
        ],
        "outdated": [signed(body, at=NOON - five - second), signed(body, at=NOON + five + second)],
        "unsigned": [
            {},
            {name: value for name, value in good.items() if name != "webhook-id"},
            good | {"webhook-timestamp": "NaN"},
            good | {"webhook-timestamp": "9" * 400},
            good | {"webhook-id": "a.b"},
        ],
    }
    before = await stored.counts()
    with capture_logs() as logged:
        for reason, attempts in wrong.items():
            for headers in attempts:
                answer = await hooks.post(f"/hooks/{source}", content=body, headers=headers)
                assert answer.status_code == 401, headers
                assert answer.json()["type"] == f"urn:jalon:problem:{reason}", headers
    told = [(line["source"], line["reason"]) for line in logged if "webhook" in line["event"]]
    assert told == [(source, reason) for reason, attempts in wrong.items() for _ in attempts]
    assert "clara" not in str(logged)
    assert await stored.counts() == before
    assert await stored("select * from inbound_mail") == []


async def test_what_needs_no_key_of_the_api_needs_a_proof_of_its_own(hooks: Api) -> None:
    document = (await hooks.get("/openapi.json")).json()
    open_ways = [
        (method, path) for path, methods in document["paths"].items() for method in methods
        if path.startswith(SELF_GUARDED)
    ]  # fmt: skip
    assert len(open_ways) >= 8
    for method, path in open_ways:
        way = path.removeprefix("/api/v1").replace("{source}", "bank").replace("{token}", "b" * 43)
        assert (await hooks.request(method, way)).status_code in (401, 404), path
    up = "/%2e%2e/records"
    for trick in (f"/hooks{up}", "/hooks/..%2frecords", "/hooks//records", f"/shared{up}"):
        answers = [await hooks.request(method, trick) for method in ("GET", "POST")]
        assert {answer.status_code for answer in answers} <= {401, 404, 405, 422}, trick


async def test_a_source_without_a_secret_is_unknown(hooks: Api, stored: Stored) -> None:
    body = payment()
    answer = await hooks.post("/hooks/shop", content=body, headers=signed(body))
    assert answer.status_code == 404
    assert (await stored.counts())["client_activity"] == 0


def test_the_vector_of_standard_webhooks_is_verified() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, its libraries' tests
    secret = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,AAAA v1a,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }  # fmt: skip
    at = datetime.fromtimestamp(1614265330, UTC)
    assert verified(headers, b'{"test": 2432232314}', secret, at) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    unprefixed = SecretStr("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert verified(headers, b'{"test": 2432232314}', unprefixed, at)
    with pytest.raises(Refused, match="no signature fits"):
        verified(headers, b'{"test": 2432232315}', secret, at)


def test_a_secret_that_is_none_is_refused_when_the_process_starts() -> None:
    for secret in ("", "whsec_", "whsec_c2hvcnQ=", "not base64!"):
        with pytest.raises(ValueError, match="the secret of bank"):
            Settings(hook_secrets={"bank": SecretStr(secret)})


# -- reports ----------------------------------------------------------------------------------------
async def waiting(hooks: Api, stored: Stored) -> int:
    """The deal, as one that waits for a payment."""
    deal = int((await stored("select id from record"))[0]["id"])
    await stored(
        "insert into ledger (record_id, visit_no, rule, outcome, at)"
        f" values ({deal}, 1, 'paid', 'open', '{NOON.isoformat()}') returning rule"
    )
    await stored(
        "insert into hold (record_id, visit_no, rule, kind, turn, opened_at, state)"
        f" values ({deal}, 1, 'paid', 'wait', '{NOON.isoformat()}', '{NOON.isoformat()}', 'waiting')"
        " returning rule"
    )
    return deal


async def test_a_payment_ends_the_wait_of_the_clients_record(hooks: Api, stored: Stored) -> None:
    deal = await waiting(hooks, stored)
    assert await reported(hooks, payment()) == {"happened": "ended_wait", "records": [deal]}
    (activity,) = await stored("select * from client_activity")
    assert (activity["external_id"], activity["type"]) == ("bank:msg_1", "payment")
    assert activity["source"] == "bank"
    assert (activity["at"], activity["detail"]) == (NOON, {"amount": 10})


async def test_a_report_is_recorded_once_whatever_comes_again(hooks: Api, stored: Stored) -> None:
    await waiting(hooks, stored)
    assert (await reported(hooks, payment()))["happened"] == "ended_wait"
    assert (await reported(hooks, payment()))["happened"] == "already_known"  # the very same
    later = NOON + timedelta(hours=1)
    hooks.now = later
    assert (await reported(hooks, payment(), at=later))["happened"] == "already_known"  # sent again
    assert (await reported(hooks, payment(), at=later, hook="msg_2"))["happened"] == "no_match"
    own = {"id": "tr_1"}
    assert (await reported(hooks, payment(**own), at=later, hook="msg_3"))["happened"] == "no_match"
    assert (await reported(hooks, payment(**own), at=later, hook="msg_4"))["happened"] == "already_known"
    assert (await stored.counts())["client_activity"] == 3


async def test_a_report_may_name_the_record_or_the_phone(hooks: Api, stored: Stored) -> None:
    (record,) = await stored("select id, contact_id from record")
    await reported(hooks, payment(record=record["id"], email=None), hook="msg_1")
    await reported(hooks, payment(type="call", phone="030 123456", email=None), hook="msg_2")
    first, second = await stored("select * from client_activity order by external_id")
    assert (first["record_id"], first["contact_id"]) == (record["id"], None)
    assert (second["record_id"], second["contact_id"]) == (None, record["contact_id"])


async def test_a_report_of_nobody_we_know_is_taken_and_does_nothing(hooks: Api, stored: Stored) -> None:
    for body in (payment(email="new@client.example"), payment(email="nobody"), b'{"type": "call"}'):
        assert await reported(hooks, body) == {"happened": "unknown_client", "records": []}
    assert (await stored.counts())["client_activity"] == 0


async def test_a_report_that_cannot_be_read_is_refused(hooks: Api) -> None:
    for body in (b"", b"[]", b"{}", b'{"type": "Call"}', b'{"type": "call", "who": 1}', b"\xff"):
        answer = await hooks.post("/hooks/bank", content=body, headers=signed(body))
        assert answer.status_code == 422, body
        assert answer.json()["type"] == "urn:jalon:problem:invalid-request"


async def test_a_report_of_a_record_that_is_gone_is_refused(hooks: Api) -> None:
    body = payment(record=404)
    assert (await hooks.post("/hooks/bank", content=body, headers=signed(body))).status_code == 404


# -- mail -------------------------------------------------------------------------------------------
async def test_a_mail_is_taken_in_as_the_bytes_it_is(hooks: Api, stored: Stored) -> None:
    assert await reported(hooks, MAIL, "email") == {"outcome": "activity", "record": None}
    assert (await reported(hooks, MAIL, "email", hook="msg_2"))["outcome"] == "already_known"
    (activity,) = await stored("select * from client_activity")
    assert (activity["external_id"], activity["type"]) == ("email:<1@client.example>", "email")


async def test_all_mail_that_came_in_is_listed_whatever_became_of_it(hooks: Api, stored: Stored) -> None:
    for number in (2, 3):
        other = MAIL.replace(b"clara@", b"new@").replace(b"<1@", b"<%d@" % number)
        await reported(hooks, other, "email", hook=f"msg_{number}")
    await reported(hooks, MAIL, "email")
    hooks.headers["Authorization"] = f"Bearer {KEY}"
    first = await hooks.seen("/inbound-mails", limit=2)
    second = await hooks.seen("/inbound-mails", limit=2, before=first["next"])
    items = first["items"] + second["items"]
    shown = [(mail["message_id"], mail["matched"], mail["outcome"]) for mail in items]
    assert shown == [
        ("<1@client.example>", "sender", "activity"), ("<3@client.example>", "none", "unknown"),
        ("<2@client.example>", "none", "unknown"),
    ], "the newest first"  # fmt: skip
    assert second["next"] is None
    (known,) = (await hooks.seen("/inbound-mails", outcome="activity"))["items"]
    assert (known["sender"], known["size"]) == ("clara@client.example", len(MAIL))
    assert (known["text"], known["attachments"]) == ("Yes, please. ü", [])
    assert (await hooks.seen("/inbound-mails", record=404))["items"] == []


async def test_a_file_that_came_with_a_mail_can_be_saved_and_not_be_shown(hooks: Api) -> None:
    message = EmailMessage()
    message["From"], message["Message-ID"] = "clara@client.example", "<1@client.example>"
    message.set_content("Our plan.")
    page = b"<script>alert(1)</script>"
    message.add_attachment(page, maintype="text", subtype="html", filename='ü".html')
    await reported(hooks, message.as_bytes(), "email")
    hooks.headers["Authorization"] = f"Bearer {KEY}"
    (mail,) = (await hooks.seen("/inbound-mails"))["items"]
    assert (mail["text"], mail["attachments"]) == (
        "Our plan.", [{"name": 'ü".html', "media_type": "text/html", "size": len(page)}],
    )  # fmt: skip
    at = f"/inbound-mails/{mail['id']}/attachments"
    answer = await hooks.get(f"{at}/0")
    assert (answer.status_code, answer.content) == (200, page)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%BC%22.html"
    for path in (f"{at}/1", "/inbound-mails/404/attachments/0"):
        assert (await hooks.get(path)).status_code == 404
    del hooks.headers["Authorization"]
    assert (await hooks.get(f"{at}/0")).status_code == 401


async def test_a_mail_may_be_longer_than_other_bodies(hooks: Api) -> None:
    long = b"From: new@client.example\r\n\r\n" + b"x" * (10 * 1024 * 1024 - 100)
    assert (await reported(hooks, long, "email"))["outcome"] == "unknown"
    longer = long + b"x" * 200
    assert (await hooks.post("/hooks/email", content=longer, headers=signed(longer))).status_code == 413
    body = b" " * (1024 * 1024 + 1)
    assert (await hooks.post("/hooks/bank", content=body, headers=signed(body))).status_code == 413


# -- the exception list -----------------------------------------------------------------------------
async def excepted(api: Api, *entries: str) -> Any:
    own = {"Authorization": f"Bearer {KEY}"}
    made = await api.post("/exceptions", json={"entries": entries}, headers=own)
    assert made.status_code == 200, made.text
    return made.json()


async def test_what_somebody_on_the_list_sends_is_kept_aside(hooks: Api, stored: Stored) -> None:
    assert await excepted(hooks, "@Client.example", "030/123456") == {
        "added": ["+4930123456", "client.example"], "already_there": 0,
    }  # fmt: skip
    assert (await reported(hooks, MAIL, "email"))["outcome"] == "quarantined"
    form = payment(type="form")
    assert await reported(hooks, form, hook="msg_1") == {"happened": "quarantined", "records": []}
    assert (await reported(hooks, form, hook="msg_1"))["happened"] == "quarantined"
    call = payment(type="call", phone="+49 30 123456", email=None)
    assert (await reported(hooks, call, hook="msg_2"))["happened"] == "quarantined"
    assert (await stored.counts())["client_activity"] == 0
    hooks.headers["Authorization"] = f"Bearer {KEY}"
    kept = (await hooks.seen("/quarantine"))["items"]
    assert [(one["channel"], one["sender"], one["entry"]) for one in kept] == [
        ("call", "+4930123456", "+4930123456"), ("form", "clara@client.example", "client.example"),
        ("email", "clara@client.example", "client.example"),
    ]  # fmt: skip
    page = await hooks.seen("/quarantine", limit=1)
    assert [one["id"] for one in page["items"]] == [page["next"]] == [kept[0]["id"]]
    assert len((await hooks.seen("/quarantine", before=page["next"]))["items"]) == 2


async def test_nobodys_money_is_kept_aside(hooks: Api) -> None:
    await excepted(hooks, "clara@client.example")
    assert (await reported(hooks, payment()))["happened"] == "no_match"


# -- the API ----------------------------------------------------------------------------------------
async def test_the_list_is_kept_by_people(api: Api, stored: Stored) -> None:
    api.headers["X-Jalon-Actor"] = "ada"
    entries = ["b@spam.example", " B@SPAM.example", "@spam.example", "+4930123456"]
    assert await api.made("/exceptions", entries=entries, comment="ads") == {
        "added": ["+4930123456", "b@spam.example", "spam.example"], "already_there": 0,
    }  # fmt: skip
    assert await api.made("/exceptions", entries=["b@spam.example", "c@spam.example"]) == {
        "added": ["c@spam.example"], "already_there": 1,
    }  # fmt: skip
    first = await api.seen("/exceptions", limit=2)
    assert first["items"][1] == {
        "value": "b@spam.example", "kind": "email", "author": "ada", "record": None, "comment": "ads",
        "at": "2026-03-02T12:00:00Z",
    }  # fmt: skip
    rest = await api.seen("/exceptions", after=first["next"])
    assert [one["value"] for one in rest["items"]] == ["c@spam.example", "spam.example"]
    assert rest["next"] is None
    for value, status in (("B@spam.example", 204), ("b@spam.example", 404), ("%2B4930123456", 204)):
        assert (await api.delete(f"/exceptions/{value}")).status_code == status, value
    assert (await api.delete("/exceptions/%20")).status_code == 404


@pytest.mark.parametrize("entries", [[], ["a@b@c"], ["ok@spam.example", "nonsense"], [""], ["a" * 400]])
async def test_what_is_no_entry_is_refused_and_nothing_is_added(
    api: Api, stored: Stored, entries: list[str]
) -> None:
    assert (await api.post("/exceptions", json={"entries": entries})).status_code == 422
    assert await stored("select * from exception_entry") == []


async def test_an_activity_may_say_who_it_was(api: Api, database: Database, stored: Stored) -> None:
    async with database.transaction() as tx:
        clara = await builders.contact(tx)
    report = {"id": "1", "type": "call", "from_email": "Clara@Client.example"}
    assert (await api.made("/client-activities", **report))["happened"] == "no_match"
    assert (await stored("select contact_id from client_activity")) == [{"contact_id": clara}]
    unknown = report | {"id": "2", "from_email": "new@client.example", "from_phone": "anonymous"}
    assert (await api.made("/client-activities", **unknown))["happened"] == "unknown_client"
    await api.made("/exceptions", entries=["client.example"])
    assert (await api.made("/client-activities", **report))["happened"] == "already_known"
    again = report | {"id": "3", "contact": clara}
    assert (await api.made("/client-activities", **again))["happened"] == "quarantined"
    await api.delete("/exceptions/client.example")
    assert (await api.made("/client-activities", **again))["happened"] == "no_match"


LISTED = ["clara@client.example", "client.example", "030 901820", "office@c.example"]


@pytest.mark.parametrize("value", LISTED)
async def test_what_is_reported_of_a_listed_client_or_its_record_is_kept_aside(
    api: Api, database: Database, stored: Stored, value: str
) -> None:
    async with database.transaction() as tx:
        company = await builders.client_company(tx, emails=["office@c.example"])
        clara = await builders.contact(tx, company_id=company, phones=["+4930901820"])
        deal = await builders.deal(tx, contact=clara, company=company)
        fields = {"email": ["clara@client.example", "office@c.example"], "phone": ["030/901820"]}
        lead = await builders.lead(tx, fields=fields)
    await api.made("/exceptions", entries=[value])
    bound: list[dict[str, Any]] = [{"record": deal}, {"record": lead}]
    bound.append({"company": company} if value.startswith("office") else {"contact": clara})
    for number, whose in enumerate(bound):
        report = {"id": str(number), "type": "call"} | whose
        assert (await api.made("/client-activities", **report))["happened"] == "quarantined"
        paid = report | {"id": f"paid {number}", "type": "payment"}
        assert (await api.made("/client-activities", **paid))["happened"] == "no_match"
    assert {row["type"] for row in await stored("select type from client_activity")} == {"payment"}
    # who it was is said, and is somebody else
    other = {"id": "other", "type": "call", "record": deal, "from_phone": "+49 30 1234567"}
    assert (await api.made("/client-activities", **other))["happened"] == "no_match"


async def test_no_record_is_created_for_somebody_on_the_list(
    api: Api, database: Database, stored: Stored
) -> None:
    async with database.transaction() as tx:
        clara = await builders.contact(tx)
        company = await builders.client_company(tx, phones=["+4930901820"])
    await api.made("/exceptions", entries=["@client.example", "030 901820", "x@spam.example"])
    lead = {"type": "lead", "pipeline": "leads", "title": "Stairs", "source": "web form"}
    of: list[dict[str, Any]] = [
        {"contact": clara}, {"company": company}, {"fields": {"email": "X@Spam.example"}},
        {"fields": {"phone": "+49 30 901820"}},
    ]  # fmt: skip
    for whose in of:
        for _ in range(2):
            key = {"Idempotency-Key": f"form {whose}"}
            answer = await api.post("/records", json=lead | whose, headers=key)
            assert answer.status_code == 422, answer.text
            assert answer.json()["type"] == "urn:jalon:problem:on-exception-list"
    assert await stored("select id from record") == []
    aside = await stored("select channel, entry, detail from quarantined order by id")
    by = [row["entry"] for row in aside]
    assert by == ["client.example", "+4930901820", "x@spam.example", "+4930901820"]
    assert {row["channel"] for row in aside} == {"record"}
    assert aside[0]["detail"]["title"] == "Stairs"
    await api.made("/records", **lead, fields={"email": "nora@new.example"})


# -- events for triggers -----------------------------------------------------------------------------
async def test_a_webhook_fires_a_trigger_once_and_forged_ones_do_nothing(hooks: Api, stored: Stored) -> None:
    (deal,) = [row["id"] for row in await stored("select id from record")]
    triggers = [{"id": "built", "event": "webhook", "names": ["stairs_built"], "stage": "offer"}]
    async with stored.database.transaction() as tx:
        await builders.rule_set(tx, {}, triggers=triggers)
    other = json.dumps({"name": "stairs_painted", "record": deal}).encode()
    assert await reported(hooks, other, "bank/events", hook="m0") == {"happened": "no_match"}
    body = json.dumps({"name": "stairs_built", "record": deal}).encode()
    forged = await hooks.post("/hooks/bank/events", content=body, headers=signed(body, secret=OTHER))
    assert forged.status_code == 401
    assert (await stored("select stage_id from record"))[0]["stage_id"] == "new"
    assert await reported(hooks, body, "bank/events", hook="m1") == {"happened": "moved"}
    assert await reported(hooks, body, "bank/events", hook="m1") == {"happened": "already_known"}
    assert (await stored("select stage_id from record"))[0]["stage_id"] == "offer"
    assert await stored("select * from client_activity") == []
    unknown = json.dumps({"name": "stairs_built", "record": deal + 1}).encode()
    answer = await hooks.post("/hooks/bank/events", content=unknown, headers=signed(unknown, hook="m2"))
    assert answer.status_code == 404


async def test_what_is_wrong_with_a_report_is_told_with_its_place(hooks: Api) -> None:
    for path, given, place in (
        ("bank", {"type": "Payment!"}, "/type"),
        ("bank", {"type": "payment", "record": "x"}, "/record"),
        ("bank", {"type": "payment", "colour": "red"}, "/colour"),
        ("bank/events", {"name": "paid", "record": 0}, "/record"),
    ):
        body = json.dumps(given).encode()
        answer = await hooks.post(f"/hooks/{path}", content=body, headers=signed(body))
        assert answer.status_code == 422
        assert place in [error["place"] for error in answer.json()["errors"]], answer.text
