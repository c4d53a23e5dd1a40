"""`scribble`: a rule that writes the record past the engine. It is a kind in tests alone."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue
from sqlalchemy import BigInteger, bindparam, text

from activities.act import Act
from activities.effect import Done, Effect


class Scribble(Effect):
    """Sets the title of the record with a statement of its own."""

    kind: ClassVar[str] = "scribble"
    title: ClassVar[str] = "Scribble"
    example: ClassVar[dict[str, JsonValue]] = {}
    executes: ClassVar[bool] = True

    async def apply(self, act: Act) -> Done:
        await act.tx.execute(_SCRIBBLE, {"id": act.record.id})
        return Done(changed=("record.title",))


_SCRIBBLE = text("update record set title = 'scribbled' where id = :id").bindparams(
    bindparam("id", type_=BigInteger)
)
