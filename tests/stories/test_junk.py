"""Whatever a caller sends, the answer is a problem in plain words, never that something broke here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from api.app import create_app
from tests.kinds.test_edit_record import TOO_MUCH
from tests.stories.conftest import SETTINGS, Api

TEXTS = ("a\0b", "\ud800", "", " ", "9" * 400)
JUNK: tuple[Any, ...] = (*TEXTS, 0, -1, 2**31, 2**63, 2**70, 1e300, True, None, [], {})
Schema = dict[str, Any]
DOCUMENT = create_app(SETTINGS).openapi()
SCHEMAS: Schema = DOCUMENT["components"]["schemas"]


def operations() -> Iterator[tuple[str, str, Schema]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def of_reference(schema: Schema) -> Schema:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def sample(schema: Schema, depth: int = 0) -> Any:
    """Something that the schema takes, as far as that can be had without knowing what it means."""
    schema = of_reference(schema)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return sample(schema[choice][0], depth)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            own = schema.get("properties", {})
            return {name: sample(own[name], depth + 1) for name in own if depth < 3}
        case "array":
            return [sample(schema.get("items", {}), depth + 1)] if depth < 3 else []
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "string":
            instants = {"date-time": "2026-03-02T09:00:00Z", "date": "2026-03-02"}
            return instants.get(schema.get("format", ""), "a")
    return None


def spoilt(whole: Any) -> Iterator[Any]:
    """The whole with one part of it, however deep, replaced by junk."""
    yield from JUNK
    if isinstance(whole, dict):
        for name, part in whole.items():
            for other in spoilt(part):
                yield {**whole, name: other}
    elif isinstance(whole, list) and whole:
        for other in spoilt(whole[0]):
            yield [other]


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation with junk in each of its parameters, and in each place of its body."""
    for method, path, operation in operations():
        here = [p for p in operation.get("parameters", []) if p["in"] == "path"]
        number = {p["name"]: of_reference(p["schema"]).get("type") == "integer" for p in here}
        named = {name: "1" if number[name] else "ada" for name in number}
        for parameter in operation.get("parameters", []):
            for junk in ("a%00b", "%ED%A0%80", "0", "-1", str(2**63), str(2**70), "9" * 400):
                if parameter["in"] == "path":
                    yield method, path.format(**named | {parameter["name"]: junk}), {}
                elif parameter["in"] == "query":
                    yield method, f"{path.format(**named)}?{parameter['name']}={junk}", {}
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and "/hooks/" not in path:
            for body in spoilt(sample(content["schema"])):
                yield method, path.format(**named), {"content": json.dumps(body)}


def unbounded(schema: Schema) -> bool:
    return schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys()


async def test_no_junk_in_any_parameter_or_body_breaks_anything(api: Api) -> None:
    await api.made("/records", type="deal", pipeline="sales", title="A roof", responsible="ada")
    await api.made("/contacts", first_name="Clara", emails=["clara@example.com"])
    broken = []
    told = {"Content-Type": "application/json"}
    for method, path, more in calls():
        answer = await api.request(method, path.removeprefix("/api/v1"), headers=told, **more)
        if answer.status_code >= 500 and answer.status_code != 503:
            broken.append((method, path[:120], str(more)[:300], answer.status_code))
    assert broken == []


def test_every_text_in_an_address_or_a_header_says_what_it_may_hold() -> None:
    """A check over the document, so that a new operation cannot forget it."""
    open_ended = []
    for method, path, operation in operations():
        for parameter in operation.get("parameters", []):
            schema = of_reference(parameter["schema"])
            for kind in schema.get("anyOf", [schema]):
                bounds = {"pattern", "format", "enum", "const"}
                text = kind.get("type") == "string" and not kind.keys() & bounds
                if text or unbounded(kind):
                    open_ended.append((method, path, parameter["name"]))
    assert open_ended == []


def test_every_whole_number_of_a_body_stays_within_its_column() -> None:
    open_ended = []
    for method, path, operation in operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and not path.endswith("/rules"):
            own = of_reference(content["schema"]).get("properties", {})
            kinds = [(name, kind) for name, schema in own.items() for kind in schema.get("anyOf", [schema])]
            open_ended += [(method, path, name) for name, kind in kinds if unbounded(kind)]
    assert open_ended == []


async def test_every_operation_says_whether_it_needs_the_key(api: Api) -> None:
    del api.headers["Authorization"]
    wrong = []
    for method, path, operation in operations():
        here = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        answer = await api.request(method, path.format(**dict.fromkeys(here, "1")).removeprefix("/api/v1"))
        asked_for_key = answer.headers.get("www-authenticate") == "Bearer"
        if asked_for_key != bool(operation.get("security")):
            wrong.append((method, path, answer.status_code))
    assert wrong == []


async def test_no_answer_is_kept_on_its_way_or_taken_for_another_type(api: Api) -> None:
    for path in ("/health", "/records", "/kinds", "/nothing-here", "/contacts"):
        answer = await api.get(path)
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-content-type-options"] == "nosniff", path


async def test_a_number_is_no_instant_and_no_day(api: Api) -> None:
    deal = await api.made("/records", type="deal", pipeline="sales", title="A roof", responsible="ada")
    for planned in (0, "0", 86_400.5, "86400", True):
        body = {"name": "Measure", "planned_start": planned}
        answer = await api.post(f"/records/{deal['id']}/tasks", json=body)
        assert answer.status_code == 422, answer.text
        answer = await api.post("/contacts", json={"first_name": "Clara", "birthday": planned})
        assert answer.status_code == 422, answer.text


async def test_the_api_refuses_what_rules_may_not_write(api: Api) -> None:
    deal = await api.made("/records", type="deal", pipeline="sales", title="A roof", responsible="ada")
    for field, value in TOO_MUCH.items():
        standard = field in ("title", "currency", "source")
        body = {field: value} if standard else {"fields": {field: value}}
        answer = await api.patch(f"/records/{deal['id']}", json=body)
        assert answer.status_code == 422, (field, answer.text[:200])
