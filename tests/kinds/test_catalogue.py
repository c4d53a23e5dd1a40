"""Every kind is judged by the same tests: documented, with an example that fits, and honest about itself."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import activities.rules
from activities.catalogue import HOLDS, describe_kinds, effects, parameters, results
from activities.effect import Effect, RecordType
from db import tables
from domain.fields import FieldType
from domain.rule import Nature, Rule
from domain.templates import check
from tests.kinds.conftest import setting

KINDS = sorted(effects())
every_kind = pytest.mark.parametrize("kind", KINDS)


def own_pipeline(effect: type[Effect]) -> str:
    return "sales" if "deal" in effect.record_types else "leads"


def reasons(effect: type[Effect]) -> Iterator[str]:
    """The reasons a kind's own file refuses with."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(effect)))  # type: ignore[arg-type]  # it has one
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused"
        if named and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def test_one_file_a_kind_and_each_is_found() -> None:
    files = {path.stem for path in Path(activities.rules.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == set(KINDS)
    assert {kind.kind for kind in describe_kinds()} == {*KINDS, *HOLDS}


def test_every_kind_can_be_shown() -> None:
    for shown in describe_kinds():
        assert shown.description, shown.kind
        assert shown.title[0].isupper(), shown.kind
        assert shown.model_dump(mode="json")["parameters"]["type"] == "object"
        assert parameters(shown.kind) is not None
        assert results(shown.kind) == shown.results


SQL = re.compile(r"\s*(select|insert|update|delete|with|or exists)\b")
TABLE = re.compile(r"\b(?:from|join|into|update)\s+(?:only\s+)?(?:public\.)?([a-z_]+)")
KNOWN_UNDER_THE_LOCK = ("clock", "messages", "people", "records", "rules", "strikes", "work")
"""The modules of `db.tables` whose rows the engine holds in memory, or decides by."""


def engine_tables(source: str) -> set[str]:
    """Tables of the engine that the SQL in a kind's file names."""
    owned = {
        table.__tablename__
        for table in map(tables.__dict__.get, tables.__all__)
        if table is not None and table.__module__.rpartition(".")[2] in KNOWN_UNDER_THE_LOCK
    }
    said = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    statements = [text for text in said if isinstance(text, str) and SQL.match(text)]
    return owned & {table for text in statements for table in TABLE.findall(text)}


@every_kind
def test_its_sql_names_no_table_that_the_engine_owns(kind: str) -> None:
    """What such a statement writes would not be in memory: `db/` has a function that does both."""
    assert engine_tables(inspect.getsource(inspect.getmodule(effects()[kind]))) == set()  # type: ignore[arg-type]


def test_sql_that_names_one_is_found() -> None:
    assert engine_tables('await act.tx.execute(text("update record set title = :title"))') == {"record"}
    assert engine_tables('text("select 1 from todo t join contact c on c.id = t.id")') == {"contact"}


@every_kind
def test_it_says_what_it_is(kind: str) -> None:
    effect = effects()[kind]
    assert effect.kind == kind
    assert effect.title[0].isupper()
    assert not effect.title.endswith(".")
    assert set(effect.record_types) <= set(get_args(RecordType))
    assert effect.record_types
    assert effect.nature in get_args(Nature)
    assert set(effect.results.values()) <= set(get_args(FieldType))
    assert effect.__doc__
    assert effect.__doc__ != Effect.__doc__


@every_kind
def test_its_documentation_describes_every_parameter(kind: str) -> None:
    effect = effects()[kind]
    said = set(re.findall(r"[a-z_]+", inspect.getdoc(effect) or ""))
    assert sorted(set(effect.model_fields) - said) == []


@every_kind
def test_its_example_is_a_rule_that_may_be_saved(kind: str) -> None:
    effect = effects()[kind]
    Rule(id="example", kind=kind, params=effect.example)
    pipeline = setting(own_pipeline(effect))
    assert list(effect.model_validate(effect.example).problems(pipeline)) == []


@every_kind
def test_the_texts_of_its_example_quote_what_there_is(kind: str) -> None:
    effect = effects()[kind]
    registry = setting(own_pipeline(effect)).registry
    assert [problem for text in _texts(effect.example) for problem in check(text, registry, {})] == []


@every_kind
def test_a_parameter_it_does_not_have_is_refused(kind: str) -> None:
    effect = effects()[kind]
    with pytest.raises(ValueError, match="no_such_parameter"):
        effect.model_validate(effect.example | {"no_such_parameter": 1})


@every_kind
def test_it_names_the_reasons_it_can_fail_with(kind: str) -> None:
    effect = effects()[kind]
    assert sorted(set(reasons(effect)) - set(effect.errors)) == []
    assert [error for error, meaning in effect.errors.items() if not meaning or meaning.endswith(".")] == []


@every_kind
def test_the_names_of_its_results_can_be_quoted(kind: str) -> None:
    for name in effects()[kind].results:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


@every_kind
def test_what_moves_the_record_writes_by_itself(kind: str) -> None:
    effect = effects()[kind]
    assert effect.executes or effect.nature != "transition"


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
