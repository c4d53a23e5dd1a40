"""A pytest plugin: ends the process with the right code, whatever a native library does at exit.

The Temporal client can abort the interpreter while it shuts down (exit code 134) after all tests
have passed. So nothing is left to the interpreter: when everything is reported, flush and leave.
"""

import atexit
import os
import sys

import pytest

session_of_run = pytest.StashKey[pytest.Session]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[session_of_run] = session


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(session_of_run, None)
    if session is None:  # --help, --version, a wrong option: nothing native was loaded
        return
    atexit._run_exitfuncs()  # the locks of pytest's temporary folders
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(session.exitstatus))
