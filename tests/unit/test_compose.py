"""Many machines in small: what docker-compose.yml and the image name is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import app
from db.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


def copied() -> list[str]:
    return re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_everything_that_runs_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {
        *("app-db", "temporal-db", "temporal-schema", "temporal", "temporal-namespace", "temporal-ui"),
        *("migrate", "worker", "api", "mail", "mailpit"),
    }
    assert services["worker"]["deploy"] == {"replicas": 2}


def test_files_that_are_mounted_exist(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert {source for source in mounted if not source.startswith("./")} == set(compose["volumes"])
    assert [source for source in mounted if source.startswith("./") and not (ROOT / source).exists()] == []
    scripts = [service["entrypoint"][1] for service in services.values() if "entrypoint" in service]
    assert [s for s in scripts if not (ROOT / "deploy/temporal" / Path(s).name).exists()] == []
    dynamic = services["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"].removeprefix("config/")
    assert isinstance(yaml.safe_load((ROOT / "deploy/temporal" / dynamic).read_text()), dict)


def test_a_service_waits_for_services_that_exist(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            needs_check = how["condition"] == "service_healthy"
            assert "healthcheck" in services[other] or not needs_check


def test_every_setting_is_one(services: dict[str, dict[str, Any]]) -> None:
    named = {name for name in services["worker"]["environment"] if name.startswith("JALON_")}
    named |= set(re.findall(r"(JALON_\w+)=", (ROOT / "Dockerfile").read_text()))
    assert named - {f"JALON_{field.upper()}" for field in Settings.model_fields} == set()


def test_every_command_is_one(services: dict[str, dict[str, Any]]) -> None:
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    ours = {name: service["command"] for name, service in services.items() if "build" in service}
    assert set(ours) == {"migrate", "worker", "api", "mail"}
    assert all(command[0] in known for command in ours.values())


def test_no_password_stands_in_the_file() -> None:
    said = dict(re.findall(r"(\w*(?:PASSWORD|PWD|API_KEY)): \"?(\S+)", COMPOSE.read_text()))
    assert len(said) > 4
    assert [name for name, value in said.items() if not value.startswith("${")] == []


def test_what_the_image_copies_exists_and_passes_the_ignore_file() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    assert copied() == let_through
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_the_image_has_every_package_of_the_product() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(copied()) - {"deploy/requirements.lock"}
