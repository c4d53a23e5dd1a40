"""What every operation of the API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

from activities.act import MailIdentity
from activities.runner import House
from db.doorbell import Connect, Doorbell
from db.engine import Database
from db.rows import Ids
from db.rulebook import Rulebook
from db.settings import Settings

Clock = Callable[[], datetime]
"""The present instant, aware and in UTC."""


@dataclass(frozen=True)
class Service:
    """One of them a process. `connect` answers a client of Temporal, or raises while that is away."""

    settings: Settings
    clock: Clock
    database: Database
    book: Rulebook
    doorbell: Doorbell
    connect: Connect
    ids: Ids = field(default_factory=Ids)

    @property
    def house(self) -> House:
        """What the installation sets for all acts."""
        chosen = self.settings
        return House(
            punctual=timedelta(seconds=chosen.punctual_seconds),
            jitter=chosen.jitter_seconds,
            mail=MailIdentity(chosen.mail_domain, chosen.mail_from),
        )


def _of(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


Served = Annotated[Service, Depends(_of)]
