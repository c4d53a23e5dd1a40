"""The worked examples of CONTRIBUTING.md are kinds like any other, and their tests pass."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.catalogue import describe_kinds
from tests.kinds import test_catalogue, test_every_kind
from tests.kinds.conftest import Desk
from tests.kinds.more_kinds import POISONOUS, kinds_of
from tests.kinds.test_every_kind import Work, untrue

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"`(activities/rules|tests/kinds)/(\w+)\.py`:\n```python\n(.*?)```", re.DOTALL)
FILES = {
    (folder, name): source for folder, name, source in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text())
}
WORKED = sorted(name for folder, name in FILES if folder == "activities/rules")


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Path]:
    """The catalogue has the kinds of the page."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    for (of, name), source in FILES.items():
        (folder if of == "activities/rules" else tmp_path).joinpath(f"{name}.py").write_text(source)
    with kinds_of(folder):
        yield tmp_path


def known_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta-tests know the kinds of the moment."""
    monkeypatch.setattr(test_every_kind, "KINDS", {kind.kind: kind for kind in describe_kinds()})


def test_there_is_one_that_writes_rows_of_its_own_and_one_that_edits_the_record() -> None:
    assert WORKED == ["complete_todos", "raise_amount"]
    assert {name for folder, name in FILES if folder == "tests/kinds"} == {f"test_{kind}" for kind in WORKED}


@pytest.mark.parametrize("kind", WORKED)
def test_it_passes_the_meta_tests(examples: Path, kind: str) -> None:
    test_catalogue.test_it_says_what_it_is(kind)
    test_catalogue.test_its_documentation_describes_every_parameter(kind)
    test_catalogue.test_its_example_is_a_rule_that_may_be_saved(kind)
    assert test_catalogue.engine_tables(FILES["activities/rules", kind]) == set()


@pytest.mark.parametrize("kind", WORKED)
async def test_after_it_the_record_in_memory_is_the_one_in_the_database(
    examples: Path, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    known_to(monkeypatch)
    work = Work(desk, tmp_path)
    assert await untrue(work, await work.record(kind)) == {}


async def test_a_kind_that_writes_past_the_engine_is_found(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kinds_of(POISONOUS):
        known_to(monkeypatch)
        work = Work(desk, tmp_path)
        found = await untrue(work, await work.record("scribble"))
    assert set(found) == {"record"}
    assert test_catalogue.engine_tables((POISONOUS / "scribble.py").read_text()) == {"record"}


@pytest.mark.parametrize("kind", WORKED)
async def test_its_own_test_passes(examples: Path, desk: Desk, kind: str) -> None:
    spec = importlib.util.spec_from_file_location(f"test_{kind}", examples / f"test_{kind}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [test for name, test in vars(module).items() if name.startswith("test_")]
    assert len(tests) > 1
    for test in tests:
        if "desk" in test.__annotations__:
            await test(desk)
            await desk.run("delete from todo")
        else:
            test()


def test_it_is_written_as_the_house_writes() -> None:
    for (folder, name), source in FILES.items():
        command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", f"{folder}/{name}.py", "-"]
        checked = subprocess.run(
            command, cwd=ROOT, input=source, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
