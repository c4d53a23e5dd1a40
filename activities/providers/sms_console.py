"""SMS for development: a line in the log instead of a message, without what it says or to whom."""

from __future__ import annotations

import structlog

from activities.providers.sms import Sms, Taken


class ConsoleSms:
    """Writes which message would go out; everybody takes it."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("sms")

    async def send(self, sms: Sms) -> Taken:
        self._log.info("sms", key=sms.key, characters=len(sms.text))
        return Taken(f"console:{sms.key}")

    async def find(self, key: str) -> Taken | None:
        """Nothing is remembered."""
        del key
        return None

    async def close(self) -> None:
        """Nothing is held open."""
