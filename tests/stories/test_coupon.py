"""A coupon generated, written to a comment and sent by e-mail: one chain, everything real."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.smtp_sink import SmtpSink
from tests.stories.conftest import Api, Stored
from tests.stories.living import living
from tests.stories.test_api_and_journey import a_deal, comments, until

CHAIN: list[dict[str, Any]] = [
    {"id": "coupon", "kind": "generate_code", "params": {"pattern": "STAIRS-####-@@"}},
    {"id": "note", "kind": "add_comment", "after_previous": True,
     "params": {"text": "Coupon {{ steps.coupon.code }}", "pinned": True}},
    {"id": "mail", "kind": "send_email", "after_previous": True, "run_if_previous": "done",
     "params": {"to": ["{{ contact.email.first }}"], "subject": "A present",
                "text": "Dear {{ contact.first_name }}, your coupon is {{ steps.coupon.code }}."}},
    {"id": "told", "kind": "write_to_history", "after_previous": True, "run_if_previous": "done",
     "params": {"text": "Sent as {{ steps.mail.message_id }}"}},
]  # fmt: skip


@pytest.fixture
async def api(database: Database, temporal: WorkflowEnvironment, smtp: SmtpSink) -> AsyncIterator[Api]:
    mail = {"smtp_host": smtp.host, "smtp_port": smtp.port, "mail_domain": "company.example"}
    async with living(database, temporal, **mail) as caller:
        yield caller


async def test_a_coupon_is_generated_written_to_a_comment_and_sent_by_e_mail(
    api: Api, smtp: SmtpSink, stored: Stored
) -> None:
    client = {"first_name": "Clara", "emails": ["clara@client.example"]}
    contact = (await api.made("/contacts", **client))["id"]
    deal = await a_deal(api, *CHAIN, contact=contact, responsible="ada")

    async def told() -> bool:
        return bool(await stored(f"select 1 from history_line where record_id = {deal}"))

    await until(told)
    (code,) = [row["code"] for row in await stored(f"select code from code where record_id = {deal}")]
    assert re.fullmatch(r"STAIRS-\d{4}-[A-Z]{2}", code)
    assert await comments(api, deal) == ["note"]
    (comment,) = (await api.seen(f"/records/{deal}/comments"))["items"]
    assert (comment["body"], comment["pinned"]) == (f"Coupon {code}", True)
    (mail,) = smtp.messages
    assert mail.recipients == ("clara@client.example",)
    assert f"Dear Clara, your coupon is {code}." in mail.parsed.get_content()
    (line,) = await stored(f"select body from history_line where record_id = {deal}")
    assert line["body"] == f"Sent as {mail.message_id}"
