"""What administrators see in Temporal: flags, the next due time, a table; and nothing personal."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import SearchAttributeKey

from tests import builders
from tests.journeys.product import Deal, Product
from tests.journeys.rules import comment, control, edit, rule, rules, wait

FLAGS = SearchAttributeKey.for_keyword_list("JalonFlags")
NEXT_DUE = SearchAttributeKey.for_datetime("JalonNextDue")
STAGE = SearchAttributeKey.for_keyword("JalonStage")


async def attribute(deal: Deal, key: SearchAttributeKey[Any]) -> Any:
    await deal.rest()
    return (await deal.handle.describe()).typed_search_attributes.get(key)


async def details(deal: Deal) -> str:
    told = await deal.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(told.current_details)


LATE = control("watch", {"hours": 1}, params={"recipients": ["employee:hugo"]})
BROKEN = comment("broken", "{{ record.source }}")
FLAGGED = {
    "waiting_client": [wait("patience", {"days": 3})],
    "late": [LATE],
    "failed": [BROKEN, comment("later", after={"days": 3})],
    "suspended": [comment("later", after={"days": 3})],
}


@pytest.mark.parametrize("flag", FLAGGED)
async def test_a_flag_is_up_for_as_long_as_it_is_so(product: Product, flag: str) -> None:
    deal = await product.deal({"new": rules(FLAGGED[flag])})
    if flag == "suspended":
        await deal.operate("suspend")
    await deal.pass_time(hours=2)
    assert await attribute(deal, FLAGS) == [flag]
    await found(deal, f'JalonFlags = "{flag}"')
    if flag == "suspended":
        await deal.operate("resume")
    await deal.move("offer")
    assert not await attribute(deal, FLAGS)
    assert await attribute(deal, STAGE) == "offer"


async def found(deal: Deal, query: str) -> None:
    """Wait until the list of workflows shows the journey; visibility is told a moment later."""
    asked = f'WorkflowId = "{deal.handle.id}" and {query}'
    async with asyncio.timeout(60):
        while not [w async for w in deal.product.environment.client.list_workflows(asked)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_next_due_time_is_that_of_what_is_due_next(product: Product) -> None:
    deal = await product.deal(
        {"new": rules([comment("b", after={"days": 2}), comment("a", after={"days": 1})])}
    )
    (entry,) = await deal.lines("created")
    assert await attribute(deal, NEXT_DUE) == millisecond(entry["at"] + timedelta(days=1))
    await deal.operate("skip", "a")
    assert await attribute(deal, NEXT_DUE) == millisecond(entry["at"] + timedelta(days=2))
    await deal.pass_time(days=3)
    assert await attribute(deal, NEXT_DUE) is None


def millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


async def test_the_details_tell_what_happens_next_and_what_it_waits_for(product: Product) -> None:
    hot = {"field": "record.hot", "op": "equal", "value": True}
    waiting = comment("picky", condition=hot, if_false="wait")
    deal = await product.deal(
        {"new": rules([comment("later", after={"days": 2}), wait("patience"), waiting])}
    )
    (entry,) = await deal.lines("created")
    due = f"{entry['at'] + timedelta(days=2):%Y-%m-%d %H:%M:%S}"
    table = await details(deal)
    assert f"| 1 | later | add_comment | armed | {due} |" in table
    assert "| 1 | patience | wait | open |" in table
    assert "| 1 | picky | add_comment | waits for its condition |" in table


async def test_temporal_is_told_ids_and_nothing_of_what_a_record_says(product: Product) -> None:
    canaries = [
        "Quetzalcoatl",
        "Xochipilli",
        "Tlaloc",
        "huitzil@colibri.example",
        "+31201234567",
        "Tezcatlipoca",
    ]
    title, first, last, email, phone, said = canaries
    async with product.database.transaction() as tx:
        contact = await builders.contact(tx, first_name=first, last_name=last, emails=[email], phones=[phone])
    listed = [
        comment("hello", f"{{{{ record.title }}}} of {{{{ contact.first_name }}}}: {said}"),
        rule("notify", "tell", {"text": "{{ contact.email.first }} wrote"}),
        rule("send_email", "mail", {"subject": "{{ record.title }}", "text": "Dear {{ contact.last_name }}"}),
        wait("patience", {"hours": 2}, ends={"instruction": f"call {said}", "on_timeout": "todo"}),
        edit("set", "coupon", "{{ contact.first_name }}", below=True),
        LATE,
        BROKEN,
    ]
    deal = await product.deal(
        {"new": rules(listed)}, title=title, contact=contact, fields={"reference": said, "tags": [said]}
    )
    await deal.edit(title=f"{title} the second", source=said)
    await deal.operate("suspend", why="")
    await deal.operate("resume", why="")
    await deal.client("email")
    await deal.pass_time(hours=3)
    await deal.move("offer")
    await deal.rest()
    assert f"{title} of {first}: {said}" in await deal.comments()
    assert dict.fromkeys(("hello", "tell", "mail", "set"), "done").items() <= (await deal.outcomes()).items()
    kept = [event.SerializeToString() for history in await deal.histories() for event in history.events]
    described = await deal.handle.describe()
    kept += [described.raw_description.SerializeToString(), (await details(deal)).encode()]
    kept.append((await deal.state()).model_dump_json().encode())
    assert any(b"add_comment" in text for text in kept)
    assert [word for word in canaries for text in kept if word.encode() in text] == []
