"""A write: one transaction, with the answer kept for its `Idempotency-Key`; then the bells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, JsonValue
from pydantic_core import to_json
from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from api.input import KEEPABLE
from api.service import Served
from db.engine import Transaction
from db.fail_points import fail_point
from db.outbox import Bell
from db.records import By
from domain.errors import Refused

_SHOWN_ONCE: Final = {"shown_once": True}
_HEADER: Final = Header(min_length=1, max_length=255, pattern=KEEPABLE)


class Answer(NamedTuple):
    """What a call is told, and the bells to be rung once it is durable.

    `secret`: the body holds one, so it is not kept; the same call again is told that it was shown once.
    """

    status: int = 200
    body: BaseModel | None = None
    bells: tuple[Bell | None, ...] = ()
    secret: bool = False


Work = Callable[[Transaction, By], Awaitable[Answer]]


class Writer:
    """Runs one write. The key, the change and the answer are committed together, or none of them.

    Who did it is the body's `by`, else the header `X-Jalon-Actor`, else `api`.
    """

    def __init__(
        self,
        request: Request,
        service: Served,
        idempotency_key: Annotated[str | None, _HEADER] = None,
        x_jalon_actor: Annotated[str | None, _HEADER] = None,
    ) -> None:
        self._request, self._service = request, service
        self.key, self._actor = idempotency_key, x_jalon_actor

    async def __call__(self, work: Work, by: str | None = None) -> Response:
        """The answer of `work`, or that kept for the same call. Raises `Refused`: nothing is stored then."""
        who = By(by or self._actor or "api", self._service.clock())

        bells: tuple[Bell | None, ...] = ()
        async with self._service.database.transaction() as tx:
            answer = await self.reserve(tx, who)
            if answer is None:
                made = await work(tx, who)
                answer, bells = await self.keep(tx, made), made.bells
        fail_point("api.committed")
        self._service.doorbell.ring(*bells)
        return answer

    async def reserve(self, tx: Transaction, by: By) -> Response | None:
        """Take the key for this call; the answer it was given before, if it was made before.

        Raises `Refused` for the key of another call or of an answer that is shown once, and for somebody who
        does not work here.
        """
        if self.key is not None:
            own = await self._hash(by.who)
            claimed = await tx.execute(_CLAIM, {"key": _row(self.key), "hash": own, "at": by.at})
            if claimed.one_or_none() is None:
                row = (await tx.execute(_KEPT, {"key": _row(self.key)})).one()
                if row.body_hash != own:
                    raise Refused("idempotency_key_reused", "this Idempotency-Key was used for another call")
                if row.answer == _SHOWN_ONCE:
                    raise Refused("shown_once", "the answer held a secret, and is not kept", 409)
                if row.status:
                    return _replayed(row.status, row.answer)
        if by.who != "api" and not (await tx.execute(_ACTOR, {"who": by.who})).scalar_one():
            raise Refused("unknown_actor", f"there is no active employee {by.who!r}")
        return None

    async def keep(self, tx: Transaction, answer: Answer) -> Response:
        """Keep the answer under the key of this call."""
        if self.key is not None:
            said = to_json(_SHOWN_ONCE if answer.secret else answer.body).decode()
            await tx.execute(_KEEP, {"key": _row(self.key), "status": answer.status, "answer": said})
        if answer.body is None:
            return Response(status_code=answer.status)
        return Response(to_json(answer.body), answer.status, media_type="application/json")

    async def _hash(self, who: str) -> str:
        """Of all that makes a call another one."""
        url = self._request.url
        said = (self._request.method, url.path, url.query, who)
        return sha256(repr(said).encode() + await self._request.body()).hexdigest()


Write = Annotated[Writer, Depends()]


def _row(key: str) -> str:
    """Callers choose their keys: none of theirs may be that of a signal or an operation."""
    return f"call/{key}"


def _replayed(status: int, answer: JsonValue) -> Response:
    headers = {"Idempotent-Replayed": "true"}
    return JSONResponse(answer, status, headers) if answer is not None else Response(None, status, headers)


_CLAIM = text("""
insert into request (key, body_hash, at) values (:key, :hash, :at) on conflict (key) do nothing returning key
""").bindparams(bindparam("at", type_=DateTime(timezone=True)))
_KEEP = text("update request set status = :status, answer = cast(:answer as jsonb) where key = :key")
_KEPT = text("select body_hash, status, answer from request where key = :key").columns(answer=JSONB)
_ACTOR = text("select exists (select 1 from employee where id = :who and active)")
