"""`create_document`: a numbered document out of a template and the record."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, JsonValue
from pydantic_core import to_json
from sqlalchemy import Row, text

from activities.act import Act
from activities.effect import Done, Effect, Setting, Text
from activities.number_series import take
from activities.providers.blobs import BlobMissing, StoreAway
from activities.providers.documents import MADE, MEDIA_TYPES, Job, NotRendered
from db.rows import Rows
from domain.errors import NotNow, Refused
from domain.fields import FieldType, Problem, UnknownField
from domain.languages import language
from domain.rule import Nature
from domain.sandbox import namespace
from domain.spelled_fields import spelled

ValueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


class CreateDocument(Effect):
    """A document made of a `template` in its latest version, kept, and shown on the record.

    The template is given the `values`, by name, the fields of the record and its people, and the number.
    Dates and amounts of the values are in the template's language, else the pipeline's; `shown` has those of
    the fields so. With a `series` (the id of a number series) it has a number: these have no gaps and no
    doubles, and one that is not made takes none. `format` is `pdf` (the default) or `docx` and has to be what
    the template makes. With `public_link` whoever has the secret address may read it. `image` is the id of a
    sign or stamp. Unless `attach` is off, a comment in the timeline names the document.
    """

    kind: ClassVar[str] = "create_document"
    title: ClassVar[str] = "Create a document"
    nature: ClassVar[Nature] = "send"
    seconds: ClassVar[float] = 120.0
    executes: ClassVar[bool] = True
    example: ClassVar[dict[str, JsonValue]] = {
        "template": "offer",
        "values": {"client": "{{ contact.first_name }} {{ contact.last_name }}"},
        "series": "offers",
        "public_link": True,
    }
    results: ClassVar[dict[str, FieldType]] = {
        "id": "number", "number": "text", "url": "text", "file": "text",
    }  # fmt: skip
    errors: ClassVar[dict[str, str]] = {
        "template_broken": "the template cannot be carried out, or takes too much; the error says where",
        "value_missing": "a value the template requires is empty; the error names it",
        "missing_letters": "no font has a letter of the document; the error names it",
        "too_slow": "the document is not made within 5 seconds",
        "unknown_template": "there is no such template",
        "unknown_series": "there is no such number series",
        "unknown_image": "there is no such image of a sign or stamp",
        "wrong_format": "the present version of the template makes another format",
        "store_away": "the store of documents did not answer, or is full, for as long as it was to be tried",
    }

    template: Annotated[str, Field(min_length=1)]
    values: Annotated[dict[ValueName, Text], Field(max_length=200)] = {}
    series: str = ""
    format: Literal["pdf", "docx"] = "pdf"
    public_link: bool = False
    image: str = ""
    attach: bool = True

    async def apply(self, act: Act) -> Done:
        template = await self._template(act)
        values = self._values(act, template.required, template.language)
        source = await _stored(act, template.source)
        stamp = await _stored(act, template.stamp) if self.image else b""
        zone = ZoneInfo(act.locked.zone)
        # from here to the end whoever wants the next number of the series waits
        number = await take(act.tx, self.series, act.now, zone.key) if self.series else ""
        own = {"title": template.title, "number": number, "language": template.language or act.locked.locale}
        data = _data(act, zone, values, own)
        content = await _rendered(act, Job(template.format, source, data, stamp, int(act.now.timestamp())))
        try:
            blob = await act.documents.blobs.put(content)
        except StoreAway as away:
            raise NotNow("store_away", away.message) from away
        document_id = await act.id_for("document")
        token = secrets.token_urlsafe(32) if self.public_link else None
        file = f"{_NOT_IN_A_NAME.sub('-', number or template.title)[:100]}.{self.format}"
        made = act.rows("document", {
            "id": document_id, "template_id": self.template, "template_version": template.version,
            "title": template.title, "series": self.series or None, "number": number, "format": self.format,
            "media_type": MEDIA_TYPES[self.format], "file": file, "blob": blob, "size": len(content),
            "public_token": token, "at": act.now,
        })  # fmt: skip
        api = f"{act.mail.base_url}/api/v1"
        url = f"{api}/shared/{token}" if token else f"{api}/documents/{document_id}/file"
        shown = await self._shown(act, f"{template.title} {number}".strip(), url)
        return Done({"id": document_id, "number": number, "url": url, "file": file}, (made, *shown))

    async def _template(self, act: Act) -> Row[*tuple[object, ...]]:
        row = (await act.tx.execute(_TEMPLATE, {"id": self.template, "image": self.image})).one_or_none()
        if row is None:
            raise Refused("unknown_template", f"there is no template {self.template!r}")
        if MADE[row.format] != self.format:
            raise Refused("wrong_format", f"{self.template!r} makes {MADE[row.format]}, not {self.format}")
        if self.image and row.stamp is None:
            raise Refused("unknown_image", f"there is no image {self.image!r}")
        return row

    def _values(self, act: Act, required: list[str], language: str | None) -> dict[str, str]:
        """The values filled in. Raises `Refused` where one that is required is empty."""
        values = {name: act.text(template, language=language) for name, template in self.values.items()}
        missing = [name for name in required if _empty(name, values, act.values)]
        if missing:
            raise Refused("value_missing", f"without a value: {', '.join(missing)}")
        return values

    async def _shown(self, act: Act, what: str, url: str) -> list[Rows]:
        if not self.attach:
            return []
        comment_id = await act.id_for("comment")
        row = {"id": comment_id, "author": act.author, "body": f"{what}\n{url}", "at": act.now}
        return [act.rows("comment", row)]

    def problems(self, setting: Setting) -> Iterator[Problem]:
        template = setting.templates.get(self.template)
        if template is None:
            yield Problem(place="/template", message=f"there is no template {self.template!r}")
        elif MADE[template.format] != self.format:
            made = MADE[template.format]
            yield Problem(place="/format", message=f"{self.template!r} makes {made}, not {self.format}")
        for name in template.required if template else ():
            if problem := self._unmet(name, setting):
                yield Problem(place="/values", message=problem)
        if self.series and self.series not in setting.series:
            yield Problem(place="/series", message=f"there is no number series {self.series!r}")
        if self.image and self.image not in setting.stamps:
            yield Problem(place="/image", message=f"there is no image {self.image!r}")

    def _unmet(self, required: str, setting: Setting) -> str:
        """Why a value that the template requires cannot be there; empty if it can."""
        if "." not in required:
            return "" if required in self.values else f"{self.template!r} requires a value {required!r}"
        try:
            setting.registry.find(required)
        except UnknownField as unknown:
            return f"{self.template!r} requires {required}: {unknown}"
        return ""


def _empty(name: str, values: Mapping[str, str], fields: Mapping[str, object]) -> bool:
    """`name` is that of a value, or a field by its full reference."""
    value = fields.get(name) if "." in name else values.get(name)
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _data(act: Act, zone: ZoneInfo, values: Mapping[str, str], own: dict[str, str]) -> bytes:
    """What the template sees, as JSON: numbers as texts, which lose nothing; days as ISO 8601 says.

    `shown` has amounts, dates and instants as the reader writes them; `language` is ISO 639's code, without
    a script or a country.
    """
    day, locale = act.now.astimezone(zone).date(), own["language"]
    shown = spelled(act.values, act.locked.registry, day, zone=zone.key, locale=locale)
    seen = namespace(act.values) | {"shown": shown, "values": values, "date": day}
    return to_json(seen | own | {"language": language(locale).language})


async def _stored(act: Act, digest: str) -> bytes:
    try:
        return await act.documents.blobs.get(digest)
    except StoreAway as away:
        raise NotNow("store_away", away.message) from away
    except BlobMissing as missing:
        raise Refused("template_broken", f"its file is gone: {missing}") from missing


async def _rendered(act: Act, job: Job) -> bytes:
    try:
        return await act.documents.renderer.render(job)
    except NotRendered as error:
        raise Refused(error.reason, error.message) from error
    except OSError as error:  # no process, no memory: that passes
        raise NotNow("store_away", f"no document can be made: {error.strerror}") from error


_TEMPLATE = text("""
select t.version, t.title, t.format, t.source, t.required, t.language,
  (select blob from stamp_image where id = :image) as stamp
from document_template t where t.id = :id order by t.version desc limit 1
""")
