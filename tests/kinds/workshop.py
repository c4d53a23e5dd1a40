"""A company that makes documents, and the worker that makes them."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import docx
from sqlalchemy import insert

from activities.providers.blobs_disk import DiskBlobs
from activities.providers.console import ConsoleMail
from activities.providers.documents import Documents, Renderer
from activities.providers.render_process import RenderProcess
from activities.work import Activities
from db import tables
from db.doorbell import Doorbell
from db.settings import Settings
from domain.events import Outcome
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.stories.conftest import away

DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""An image of one point, as PNG."""
OFFER = """#import "jalon.typ": data, stamp
#set document(title: data.number + " for " + data.values.client)
= Offer #data.number of #data.date
For #data.values.client: #data.record.title, #data.record.amount
#if stamp != none { image(stamp, width: 2cm) }
"""


class Workshop:
    """Templates `offer` (requires a client) and `letter`, the series `offers`, the stamp `seal`."""

    def __init__(self, desk: Desk, root: Path) -> None:
        self.desk, self.blobs = desk, DiskBlobs(root)
        self.documents = desk.documents = Documents(RenderProcess(), self.blobs)

    async def template(self, template_id: str, source: str | bytes, **more: Any) -> None:
        """Publish a version of a template."""
        kept = await self.blobs.put(source.encode() if isinstance(source, str) else source)
        await self.desk.run(lambda tx: builders.document_template(tx, template_id, kept, **more))

    async def text(self, document: dict[str, Any]) -> bytes:
        """What is kept of a document."""
        return await self.blobs.get(document["blob"])

    async def ruled(self, **rule: Any) -> None:
        """Have the deals made from now on stand under one rule, `offer`."""
        params = {"template": "offer", "values": {"client": "Clara"}, "series": "offers"}
        made = {"id": "offer", "kind": "create_document", "params": params | rule.pop("params", {})} | rule
        await self.desk.run(lambda tx: builders.rule_set(tx, {"new": [made]}))

    def worker(self, documents: Documents | None = None) -> Activities:
        database = self.desk.database
        doorbell = Doorbell(database, away, "jalon")
        return Activities(database, doorbell, ConsoleMail(), Settings(), documents or self.documents)

    async def act(
        self, record: int, now: datetime = NOON, *, due: datetime = NOON, by: Activities | None = None
    ) -> Outcome:
        """One attempt of the rule, as its activity makes it."""
        asked = RuleRun(record_id=record, visit_no=1, rule="offer", turn=NOON, due=due)
        return await (by or self.worker())._act(asked, now)

    def with_renderer(self, renderer: Renderer) -> Activities:
        return self.worker(Documents(renderer, self.blobs))


async def workshop_of(desk: Desk, root: Path) -> Workshop:
    workshop = Workshop(desk, root)
    await workshop.template("offer", OFFER, required=["client"])
    letter = word("Dear {{ values.client }}, {{ number }} {{ stamp }}")
    await workshop.template("letter", letter, format="docx")
    seal = {"id": "seal", "media_type": "image/png", "blob": await workshop.blobs.put(DOT), "size": len(DOT)}
    await desk.run(
        lambda tx: builders.number_series(tx, "offers", "OFF-{year}-{number:03}"),
        lambda tx: tx.execute(insert(tables.StampImage).values(seal | {"at": NOON})),
    )
    return workshop


def word(*paragraphs: str) -> bytes:
    """A Word document with these paragraphs."""
    document, made = docx.Document(), io.BytesIO()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(made)
    return made.getvalue()


def words(content: bytes) -> str:
    """The text of a Word document."""
    return "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(content)).paragraphs)
