"""Where something is wrong: JSON pointers (RFC 6901) into what somebody wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic_core import ErrorDetails

from domain.fields import Problem


def as_problems(errors: Iterable[ErrorDetails], value: object) -> list[Problem]:
    """Pydantic's errors, each with the JSON pointer of its place in the value that was validated."""
    return [
        Problem(
            place="".join(f"/{escaped(str(part))}" for part in _path(error, value)),
            message=error["msg"].removeprefix("Value error, "),
        )
        for error in errors
    ]


def escaped(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _path(error: ErrorDetails, value: object) -> tuple[str | int, ...]:
    """The path of an error; pydantic's own also names the members of unions, which a value does not have."""
    names = error["loc"]
    if not names:
        return ()
    reached: dict[tuple[str | int, ...], object] = {(): value}
    for name in names[:-1] if error["type"] == "missing" else names:
        for path, at in list(reached.items()):
            inside = isinstance(at, Mapping) and name in at
            if inside or (isinstance(at, list | tuple) and isinstance(name, int) and name < len(at)):
                reached[*path, name] = at[name]  # type: ignore[index]  # narrowed above
    if error["type"] != "missing":
        return max(reversed(reached), key=len)  # of equal ones the last: the others are names of members
    parents = [path for path in reversed(reached) if isinstance(reached[path], Mapping)]
    return *max(parents, key=len, default=()), names[-1]
