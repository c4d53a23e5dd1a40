"""A document on the way of a record: everything real, the queue of what is slow included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from db.engine import Database
from tests.stories.conftest import Api
from tests.stories.living import living
from tests.stories.test_api_and_journey import a_deal, until
from tests.stories.test_documents import RULE, furnished

SAID = {"id": "said", "kind": "add_comment", "after_previous": True,
        "params": {"text": "{{ steps.offer.number }}"}}  # fmt: skip


@pytest.fixture
async def api(database: Database, temporal: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Api]:
    """The API, a worker and a relay, which keep documents in a folder of the test."""
    async with living(database, temporal, home=tmp_path) as caller:
        yield caller


async def test_a_chain_goes_on_with_the_number_of_its_document(api: Api) -> None:
    await furnished(api)
    deal = await a_deal(api, RULE, SAID)

    said: list[str] = []

    async def spoke() -> bool:
        comments = await api.seen(f"/records/{deal}/comments")
        said[:] = [row["body"] for row in comments["items"] if row["rule"] == "said"]
        return bool(said)

    await until(spoke)
    (document,) = (await api.seen(f"/records/{deal}/documents"))["items"]
    assert said == [document["number"]]
    assert (await api.get(f"/documents/{document['id']}/file")).content.startswith(b"%PDF")

