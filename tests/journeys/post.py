"""The mail server of journeys: it takes every mail, save what goes to somebody it has no time for."""

from __future__ import annotations

from activities.providers.mail import Delivery, Letter, NotSent

BUSY = "busy@company.example"


class Post:
    """Refuses for the moment what goes to `BUSY`."""

    async def send(self, letter: Letter) -> Delivery:
        if BUSY in letter.recipients:
            raise NotSent("450 try again later", temporary=True)
        return Delivery(letter.recipients, {})

    async def close(self) -> None:
        """Nothing is open."""
