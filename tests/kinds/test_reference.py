"""`docs/rules.md` says of every kind what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from activities.catalogue import describe_kinds
from cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_is_what_the_command_prints() -> None:
    again = ".venv/bin/jalon kinds --markdown > docs/rules.md"
    assert PAGE.read_text(encoding="utf-8") == reference(describe_kinds()), f"write it anew: {again}"


def test_it_has_every_kind_with_every_parameter_result_and_error() -> None:
    page = PAGE.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(parts) == {kind.kind for kind in describe_kinds()}
    for kind in describe_kinds():
        assert f"{kind.title}, for " in parts[kind.kind]
        properties = kind.parameters.get("properties", {})
        assert isinstance(properties, dict)
        for word in (*properties, *kind.results, *kind.errors):
            assert f"`{word}`" in parts[kind.kind], (kind.kind, word)


def test_the_holds_describe_every_parameter_too() -> None:
    for kind in describe_kinds():
        properties = kind.parameters.get("properties", {})
        assert isinstance(properties, dict)
        said = set(re.findall(r"[a-z_]+", kind.description))
        assert sorted(set(properties) - said) == [], kind.kind
