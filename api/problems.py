"""Every refusal is application/problem+json (RFC 9457), and says nothing of what is inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException

from activities.places import as_problems
from activities.publish import RulesRefused
from domain.errors import Refused, Unreadable
from domain.fields import Problem

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = {"Retry-After": "5"}  # seconds
# SQLSTATE: no connection, no resources, stopped by somebody, a lock or a deadlock that passes
_SCHEMA: Final = {"$ref": "#/components/schemas/Refusal"}
_PASSES: Final = ("08", "53", "57", "40", "55P03")


class Refusal(BaseModel):
    """A problem. `type` names it for programs; `errors` lists all that is wrong, each with its place."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Problem] = []


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
    for status in (400, 401, 404, 409, 413, 422, 500, 503)
}
"""What each operation may answer besides its result, for the OpenAPI document."""


def schemas() -> dict[str, Any]:
    """The JSON Schemas that `RESPONSES` refers to."""
    own = Refusal.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**own.pop("$defs"), "Refusal": own}


class Away(Refused):
    """Something this needs does not answer; it may a little later."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message, 503)


def problem(
    status: int,
    reason: str,
    detail: str,
    errors: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that says what is wrong."""
    body = Refusal(
        type=f"urn:jalon:problem:{reason.replace('_', '-')}",
        title=reason.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        errors=list(errors),
    )
    extra = {**(RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else {}), **(headers or {})}
    return JSONResponse(body.model_dump(mode="json", exclude_defaults=True), status, extra, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have the application answer every error as a problem."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Unreadable, _unreadable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(NoConnectionFree, _away)
    app.add_exception_handler(OSError, _away)
    app.add_exception_handler(Exception, _broken)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101 - it is registered for these
    errors = error.problems if isinstance(error, RulesRefused) else ()
    return problem(error.status, error.reason, error.message, errors)


def _unreadable(_: Request, error: Exception) -> JSONResponse:
    log.error("published rules cannot be read", error=str(error))
    return problem(500, "rules_unreadable", str(error))


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    found = [_located(item, error.body) for item in error.errors()]
    first = f"{found[0].place}: {found[0].message}" if found[0].place else found[0].message
    return problem(422, "invalid_request", first, found)


def _located(error: ErrorDetails, body: object) -> Problem:
    """In the body a JSON pointer, elsewhere `path:id`, `query:limit`, `header:…`."""
    where, *loc = error["loc"]
    if where != "body":
        return Problem(place=f"{where}:{'.'.join(map(str, loc))}", message=error["msg"])
    own: ErrorDetails = {**error, "loc": tuple(loc)}
    (found,) = as_problems([own], body)
    place, colon, message = found.message.partition(": ")
    if colon and not found.place and place.startswith("stages/"):  # found by the rule set as a whole
        return Problem(place=f"/{place}", message=message)
    return found


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    phrase = HTTPStatus(error.status_code).phrase
    return problem(error.status_code, phrase.lower().replace(" ", "_"), error.detail, headers=error.headers)


def _database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DBAPIError)  # noqa: S101 - it is registered for these
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.statement is None or error.connection_invalidated or not state or state.startswith(_PASSES):
        return _away(request, error)
    # the statement without its parameters, which are what a record says
    log.error("the database refused a statement", sqlstate=state, statement=error.statement)
    return _broken(request, error)


def _away(_: Request, error: Exception) -> JSONResponse:
    log.warning("the database does not answer", error=type(error).__name__)
    return database_away()


def database_away() -> JSONResponse:
    """What is answered while PostgreSQL does not."""
    # the answer to a commit may be what was lost: then the change is made
    what = "the database does not answer; the same call, with the same Idempotency-Key, is made once"
    return problem(503, "database_away", what)


def _broken(request: Request, error: Exception) -> JSONResponse:
    log.error("an operation failed", method=request.method, error=type(error).__name__)
    return problem(500, "internal_error", "something went wrong here; it was written to the log")
