"""The domain is pure: what it loads, seen in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
PURE_LIBRARIES = {"holidays", "dateutil", "six", "tzdata", "phonenumbers"}
# what a template needs; the workflow never imports it
FOR_TEMPLATES = {
    *("domain.templates", "domain.filters", "domain.sandbox", "domain.languages", "domain.spelled_fields"),
}

PROBE = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def loaded_by(*modules: str) -> set[str]:
    """The top-level modules outside the standard library that importing these brings."""
    probe = [sys.executable, "-c", PROBE, *modules]
    done = subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {
        name for name in json.loads(done.stdout) if name not in sys.stdlib_module_names and name[0] != "_"
    }


def modules_of_domain() -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "domain").rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def test_what_the_workflow_imports_of_the_domain_needs_pydantic_alone() -> None:
    assert loaded_by("domain.visit", "domain.progress") - PYDANTIC == {"domain"}


def test_the_domain_loads_pure_libraries_only() -> None:
    modules = [name for name in modules_of_domain() if name not in FOR_TEMPLATES]
    assert "domain.visit" in modules
    assert loaded_by(*modules) - PYDANTIC - PURE_LIBRARIES == {"domain"}


def test_the_domain_never_loads_temporal_or_a_driver() -> None:
    frameworks = {
        "temporalio",
        "sqlalchemy",
        "sqlmodel",
        "asyncpg",
        "fastapi",
        "structlog",
        "httpx2",
        "aiosmtplib",
    }
    assert not loaded_by(*modules_of_domain()) & frameworks
