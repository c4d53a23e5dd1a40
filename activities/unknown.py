"""How it is said that there is no such thing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def unknown(what: str, name: str, names: Iterable[str], former: Collection[str] = ()) -> str:
    """That there is no such thing, and the nearest there is; `former` are names of what no longer counts."""
    if name in former:
        return f"the {what} {name!r} is no longer active"
    near = get_close_matches(name, list(names), n=1)
    return f"there is no {what} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
