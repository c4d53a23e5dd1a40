"""What every operation of the API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request

from activities.documents import blobs_of
from activities.house import House
from activities.providers.blobs import Blobs
from activities.runner import Runner
from db.database_clock import DatabaseClock
from db.doorbell import Connect, Doorbell
from db.engine import Database
from db.locked import Locked
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings

Clock = Callable[[], datetime]
"""The present instant, aware and in UTC."""


@dataclass(frozen=True)
class Service:
    """One of them a process. `connect` answers a client of Temporal, or raises while that is away.

    `clock` is what time it is for all that is written, by default that of `time`, PostgreSQL's clock.
    """

    settings: Settings
    clock: Clock
    database: Database
    book: Rulebook
    doorbell: Doorbell
    connect: Connect
    time: DatabaseClock
    ids: Ids = field(default_factory=Ids)

    @cached_property
    def blobs(self) -> Blobs:
        """Where files are kept."""
        return blobs_of(self.settings)

    @property
    def house(self) -> House:
        """What the installation sets for all acts."""
        return House.of(self.settings)


    def runner(self, locked: Locked, at: datetime) -> Runner:
        """What acts on a record in a transaction of the API."""
        return Runner(locked, self.house, self.ids, at)


def _of(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


Served = Annotated[Service, Depends(_of)]
