"""Documents in the API: what they are made of, what is known of them, and who may read them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from activities.documents import documents_of
from api.app import create_app
from db.engine import Database
from db.settings import Settings
from domain.journey import RuleRun
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.workshop import DOT, OFFER, Workshop, word
from tests.stories.conftest import SETTINGS, Api, Stored, away
from tests.stories.test_api import a_deal, published, refused

RULE: dict[str, Any] = {
    "id": "offer", "kind": "create_document",
    "params": {"template": "offer", "values": {"client": "Zoë"}, "series": "offers", "image": "seal",
               "public_link": True},
}  # fmt: skip


def based(content: bytes | str) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return SETTINGS.model_copy(update={"home": tmp_path})


@pytest.fixture
async def api(database: Database, settings: Settings) -> AsyncIterator[Api]:
    """The API whose documents lie in a folder of the test."""
    async with database.transaction() as tx:
        await builders.company(tx)
    app = create_app(settings, clock=lambda: NOON, database=database, connect=away)
    async with app.router.lifespan_context(app):
        async with Api(httpx2.ASGITransport(app=app, raise_app_exceptions=False)) as caller:
            yield caller


async def template(api: Api, name: str, content: bytes | str, **more: Any) -> httpx2.Response:
    body = {"title": "Offer", "format": "typst", "source": based(content)} | more
    return await api.put(f"/document-templates/{name}", json=body)


async def furnished(api: Api) -> None:
    assert (await template(api, "offer", OFFER, required=["client"])).status_code == 201
    await api.made("/number-series", id="offers", pattern="Öff-{year}-{number:03}")
    assert (await api.put("/stamps/seal", json={"image": based(DOT)})).status_code == 200


async def made(api: Api, database: Database, settings: Settings) -> dict[str, Any]:
    """A document, made by a rule that was published."""
    await furnished(api)
    await published(api, new=[RULE])
    deal = await a_deal(api)
    worker = Workshop(Desk(database), settings.home).worker(documents_of(settings))
    asked = RuleRun(record_id=deal, visit_no=1, rule="offer", turn=NOON, due=NOON)
    assert (await worker._act(asked, NOON)).result == "done"
    (listed,) = (await api.seen(f"/records/{deal}/documents"))["items"]
    assert "public_token" not in listed
    return dict(await api.seen(f"/documents/{listed['id']}"))


# -- what they are made of ---------------------------------------------------------------------------
async def test_versions_of_a_template_are_numbered_and_the_last_is_listed(api: Api, stored: Stored) -> None:
    first = (await template(api, "offer", OFFER, required=["client", "record.amount"])).json()
    assert (first["version"], first["required"]) == (1, ["client", "record.amount"])
    second = (await template(api, "offer", "= Anew")).json()
    assert (second["version"], second["published_at"]) == (2, "2026-03-02T12:00:00Z")
    assert await api.seen("/document-templates") == [second]
    assert len(await stored("select 1 from document_template")) == 2


async def test_a_template_may_have_a_language_of_its_own(api: Api) -> None:
    assert (await template(api, "offer", OFFER)).json()["language"] is None
    assert (await template(api, "offer", OFFER, language="de-DE")).json()["language"] == "de-DE"


async def test_a_template_published_twice_under_one_key_is_one_version(api: Api) -> None:
    for _ in range(2):
        body = {"title": "Offer", "format": "typst", "source": based(OFFER)}
        answer = await api.put("/document-templates/offer", json=body, headers={"Idempotency-Key": "k"})
        assert answer.json()["version"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "no base 64!"}, {"source": ""}, {"source": based(b"\xff\xfe")}, {"format": "odt"},
        {"format": "docx"}, {"title": ""}, {"required": ["Client name"]}, {"required": ["a.b.c"]},
        {"more": 1}, {"language": "xx"}, {"language": "german"}, {"language": ""}, {"language": "../de"},
    ],
)  # fmt: skip
async def test_what_is_no_template_is_refused(api: Api, stored: Stored, wrong: dict[str, Any]) -> None:
    assert (await template(api, "offer", OFFER, **wrong)).status_code == 422
    assert await stored("select 1 from document_template") == []


async def test_a_word_document_is_a_template_too(api: Api) -> None:
    answer = await template(api, "letter", word("Dear {{ values.client }}"), format="docx")
    assert answer.json()["format"] == "docx"


async def test_a_series_is_made_once_and_says_what_comes_next(api: Api) -> None:
    bills = await api.made("/number-series", id="bills", pattern="B-{number:04}", next=17)
    assert await api.seen("/number-series") == [bills]
    refused(await api.post("/number-series", json=bills | {"next": 1}), 409, "exists")
    wrong = await api.post("/number-series", json={"id": "x", "pattern": "B-{year}"})
    assert "holds the number once" in refused(wrong, 422, "invalid-request")["detail"]


async def test_a_stamp_is_an_image(api: Api) -> None:
    seal = (await api.put("/stamps/seal", json={"image": based(DOT)})).json()
    assert (seal["media_type"], seal["size"]) == ("image/png", len(DOT))
    assert await api.seen("/stamps") == [seal]
    refused(await api.put("/stamps/seal", json={"image": based("<svg/>")}), 422, "wrong-image")


async def test_a_rule_names_only_what_there_is(api: Api) -> None:
    answer = await api.put("/pipelines/sales/rules", json={"owner": "eve", "stages": {"new": [RULE]}})
    places = {error["place"] for error in refused(answer, 422, "rules-refused")["errors"]}
    assert places == {f"/stages/new/0/params/{name}" for name in ("template", "series", "image")}
    await furnished(api)
    await published(api, new=[RULE])


# -- who may read them -------------------------------------------------------------------------------
async def test_a_document_is_read_with_its_file(api: Api, database: Database, settings: Settings) -> None:
    document = await made(api, database, settings)
    assert (document["number"], document["public"]) == ("Öff-2026-001", True)
    assert "public_token" not in document
    answer = await api.get(f"/documents/{document['id']}/file")
    assert answer.content.startswith(b"%PDF")
    assert len(answer.content) == document["size"]
    assert answer.headers["content-type"] == "application/pdf"
    name = "%C3%96ff-2026-001.pdf"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    for path in ("/documents/999", "/documents/999/file"):
        refused(await api.get(path), 404, "gone")


async def test_a_shared_document_is_read_by_its_address_without_the_key(
    api: Api, database: Database, settings: Settings, stored: Stored
) -> None:
    document = await made(api, database, settings)
    (row,) = await stored("select public_token from document")
    nobody = {"Authorization": ""}
    answer = await api.get(f"/shared/{row['public_token']}", headers=nobody)
    assert answer.content == (await api.get(f"/documents/{document['id']}/file")).content
    assert answer.headers["referrer-policy"] == "no-referrer"
    refused(await api.get(f"/documents/{document['id']}/file", headers=nobody), 401, "unauthorized")
    for wrong in (row["public_token"][:-1] + "!", "x" * 43, row["public_token"][:-1], "a"):
        assert (await api.get(f"/shared/{wrong}", headers=nobody)).status_code in (404, 422)


async def test_the_address_of_a_document_ends_with_its_record(
    api: Api, database: Database, settings: Settings, stored: Stored
) -> None:
    document = await made(api, database, settings)
    (row,) = await stored("select public_token from document")
    record = await api.seen(f"/records/{document['record_id']}")
    gone = await api.request("DELETE", f"/records/{record['id']}", json={"version": record["version"]})
    assert gone.status_code in (200, 204), gone.text
    refused(await api.get(f"/shared/{row['public_token']}"), 404, "gone")


async def test_what_is_kept_nowhere_is_gone_and_a_store_that_is_away_comes_back(
    api: Api, database: Database, settings: Settings
) -> None:
    document = await made(api, database, settings)
    digest = document["blob"]
    place = settings.home / "blobs" / digest[:2] / digest[2:4] / digest
    place.write_bytes(b"damaged")
    refused(await api.get(f"/documents/{document['id']}/file"), 503, "store-away")
    place.unlink()
    refused(await api.get(f"/documents/{document['id']}/file"), 404, "gone")


@pytest.mark.parametrize(("form", "source", "said"), [
    ("typst", b"= Offer\n#let x = \n)", "main.typ:2:8: expected expression"),
    ("typst", b"#if true { [a", "main.typ:1"),
    ("docx", b"{% if client %}", "end of template"),
    ("docx", b"{{ client ", "line 1"),
])  # fmt: skip
async def test_a_template_that_is_not_well_formed_is_refused_with_its_place(
    api: Api, form: str, source: bytes, said: str
) -> None:
    source = word(source.decode()) if form == "docx" else source
    body = {"title": "Offer", "format": form, "source": base64.b64encode(source).decode()}
    answer = await api.put("/document-templates/offer", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:jalon:problem:wrong-template")
    assert said in answer.json()["detail"]
    assert await api.seen("/document-templates") == []


async def test_a_template_that_needs_values_is_taken_without_them(api: Api) -> None:
    source = base64.b64encode(b'#import "jalon.typ": data\n#data.values.missing.deep').decode()
    body = {"title": "Offer", "format": "typst", "source": source}
    assert (await api.put("/document-templates/offer", json=body)).status_code == 201
