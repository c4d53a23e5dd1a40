#!/usr/bin/env python3
"""Set up and run with nothing but Python 3.11: `python3 dev.py test`, `python3 dev.py check`.

Makes .venv, installs exactly what requirements.lock says (again only when that file or
pyproject.toml changes), then becomes the command.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
IMAGE_LOCK = ROOT / "deploy" / "requirements.lock"

USAGE = """usage: python3 dev.py VERB [ARGUMENTS]

  test [ARGS]     all tests that must pass; arguments go to pytest
  check           ruff, mypy, import-linter
  up              the whole system on this machine, until Ctrl-C
  bench [ARGS]    what the product costs beside bare Temporal
  model [ARGS]    random scenarios through the engine or the stack, and the reference model
  traces FILE …   real journeys through the engine and the reference model
  lock            write the lock files again, with the newest versions that pyproject.toml allows"""

COMMANDS = {
    "test": ["pytest"],
    "model": ["tests.model"],
    "traces": ["tests.traces"],
    "up": ["cli", "up"],
    "bench": ["tests.bench"],
}
CHECKS = (
    ["ruff", "check", "--quiet", "."],
    ["mypy"],
    ["lint-imports", "--no-logo"],
)


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by whatever Python there is
        sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0])
    verb, *rest = sys.argv[1:] or ["help"]
    if verb not in (*COMMANDS, "check", "lock"):
        print(USAGE)
        sys.exit(verb not in ("help", "-h", "--help") and 2)
    install()
    os.chdir(ROOT)
    if verb == "check":
        check()
    elif verb == "lock":
        lock()
    else:
        os.execv(PYTHON, [str(PYTHON), "-m", *COMMANDS[verb], *rest])  # noqa: S606 - becomes the command


def install() -> None:
    where = f"{ROOT} {sys.version}".encode()
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + LOCK.read_bytes() + where).hexdigest()
    stamp = VENV / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing into .venv …", flush=True)
    install_with = [*make_environment(), "install", "--quiet", "--disable-pip-version-check"]
    run(*install_with, "--require-hashes", "-r", LOCK)
    # the build backend is in the lock file too, so nothing is fetched here
    run(*install_with, "--no-deps", "--no-build-isolation", "-e", ROOT)
    stamp.write_text(wanted)


def make_environment() -> list[str]:
    """The environment itself, and the pip that installs into it."""
    # Debian ships venv without ensurepip: then the system's own pip installs into it
    if works(sys.executable, "-c", "import ensurepip"):
        run(sys.executable, "-m", "venv", VENV)
        return [str(PYTHON), "-m", "pip"]
    if not works(sys.executable, "-m", "pip", "--version"):
        sys.exit("neither ensurepip nor pip: install one of them (Debian: apt-get install python3-venv)")
    run(sys.executable, "-m", "venv", "--without-pip", VENV)
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def check() -> None:
    """All checks, also after one has failed, so that one run says everything."""
    failed = []
    for program, *args in CHECKS:
        print(f"── {program}", flush=True)
        if subprocess.run([str(PYTHON.parent / program), *args], check=False).returncode:
            failed.append(program)
    if failed:
        sys.exit("failed: " + ", ".join(failed))
    print("all checks passed")


def lock() -> None:
    """requirements.lock for development, and the part of it that the image installs: hashes, no addresses."""
    uv = [PYTHON.parent / "uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"]
    style = ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--upgrade"]
    run(*uv, *style, "--all-extras", "-o", LOCK)
    run(*uv, *style, "--constraint", LOCK, "-o", IMAGE_LOCK)


def works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(*command: object) -> None:
    words = [str(word) for word in command]
    if subprocess.run(words, check=False).returncode:
        sys.exit("failed: " + " ".join(words))


if __name__ == "__main__":
    main()
