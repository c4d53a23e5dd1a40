"""The process that serves the API: `jalon api`."""

from __future__ import annotations

import signal

import uvicorn

from api.guard import Guarded, most_connections
from db import logs
from db.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM; what is under way then has 20 seconds."""
    logs.set_up(as_json=settings.log_json)
    # uvicorn raises the signal again when it has shut down; that must not look like a crash
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        http=Guarded,
        ws="none",
        limit_concurrency=most_connections() + 1,  # counts the tasks too; connections are the guard's
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
