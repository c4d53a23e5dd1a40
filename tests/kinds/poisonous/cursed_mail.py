"""`cursed_mail`: a message that cannot be composed. It is a kind in tests alone."""

from __future__ import annotations

import asyncio
import builtins
from typing import ClassVar

from pydantic import JsonValue
from sqlalchemy import text

from activities.act import Act
from activities.effect import Composed, Sending


class CursedMail(Sending):
    """Composes no message, but goes wrong `how` it is told to."""

    kind: ClassVar[str] = "cursed_mail"
    title: ClassVar[str] = "Cursed mail"
    example: ClassVar[dict[str, JsonValue]] = {"how": "ValueError"}
    channel = "email"
    seconds: ClassVar[float] = 0.5

    how: str

    async def compose(self, act: Act) -> Composed:
        if self.how == "hangs":
            await asyncio.sleep(600)
        if self.how == "wrong query":
            await act.tx.execute(text("select no_such_column from record"))
        error = getattr(builtins, self.how)("by the rule")
        assert isinstance(error, BaseException)
        raise error
