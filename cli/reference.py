"""`docs/rules.md`: what `jalon kinds` knows of every kind, as a page to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from activities.catalogue import Kind

HEAD = """# The kinds of rules

Written by `jalon kinds --markdown`; the code of each kind is its source. What all rules share (schedule,
condition, order, repeat, what happens when the stage is left) is not repeated here. Texts are templates.
*Results* can be quoted by later rules of the visit as `steps.<rule>.<result>`.
"""


def reference(kinds: list[Kind]) -> str:
    """The page, in Markdown."""
    listed = "\n".join(f"- [`{kind.kind}`](#{kind.kind}): {kind.title}" for kind in kinds)
    return "\n".join([HEAD, listed, *(_one(kind) for kind in kinds)])


def _one(kind: Kind) -> str:
    parts = [
        f"\n## {kind.kind}",
        f"{kind.title}, for {' and '.join(f'{of}s' for of in kind.record_types)}.",
        "",
    ]
    parts += [kind.description, ""]
    if rows := [*_parameters(kind.parameters)]:
        parts += ["| parameter | type | default |", "|---|---|---|", *rows, ""]
    if kind.results:
        parts += ["Results: " + ", ".join(f"`{name}` ({of})" for name, of in kind.results.items()) + ".", ""]
    if kind.errors:
        parts += ["Fails with:", *(f"- `{error}`: {meaning}" for error, meaning in kind.errors.items()), ""]
    example = {"id": kind.kind.replace("_", "-"), "kind": kind.kind, "params": kind.example}
    return "\n".join([*parts, "```json", json.dumps(example, indent=2, ensure_ascii=False), "```"])


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    """The rows of the table: name, type, and the default or *needed*."""
    needed = schema.get("required", [])
    for name, written in schema.get("properties", {}).items():
        default = json.dumps(written.get("default"), ensure_ascii=False)
        told = "*needed*" if name in needed else "" if default == "null" else f"`{default}`"
        yield f"| `{name}` | {_type(written)} | {told.replace('|', chr(92) + '|')} |"


def _type(written: Mapping[str, Any]) -> str:
    """What a value looks like, in a few words."""
    if "$ref" in written:
        return _named(str(written["$ref"]).rpartition("/")[2])
    if "enum" in written or "const" in written:
        return ", ".join(f"`{value}`" for value in written.get("enum", [written.get("const")]))
    if either := written.get("anyOf") or written.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(one) for one in either if one.get("type") != "null"))
    match written.get("type"):
        case "array":
            return f"list of {_type(written.get('items', {}))}"
        case "object":
            return "object"
        case "string":
            return "text"
        case None:
            return "any value"
        case simple:
            return str(simple)


def _named(model: str) -> str:
    return (
        "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in model).strip().strip("_")
    )
