"""What the mail server in front found out about a sender (RFC 8601): whether its domain disowns the mail.

Only a failure counts, and wherever it stands. Servers take out headers that others wrote in their name (RFC
8601, 5), but not all do: so nothing is ever believed because of a `pass`, which anybody can write, while
nobody gains by a `fail` in a mail of his own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from email.message import Message
from typing import Final

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT: Final = re.compile(r"\((?:[^()\\]|\\.)*\)")
_FAILED: Final = re.compile(r"\s*dmarc\s*(?:/\s*\d+\s*)?=\s*fail\b", re.IGNORECASE)
_DEEPEST: Final = 10  # comments within comments
_LONGEST, _MOST = 20_000, 50


def disowned(headers: Message, servers: Collection[str]) -> bool:
    """Whether one of these servers, by its authserv-id, says `dmarc=fail` (RFC 7489) of the mail."""
    if not servers:
        return False
    listed = headers.get_all("Authentication-Results", [])[:_MOST]
    return any(_failed(str(value)[:_LONGEST], servers) for value in listed)


def _failed(value: str, servers: Collection[str]) -> bool:
    bare = _QUOTED.sub(lambda found: re.sub(r"[^\w.@-]", "", found[0]), value)
    for _ in range(_DEEPEST):
        bare = _COMMENT.sub(" ", bare)
    named, *results = bare.split(";")
    server = next(iter(named.split()), "").lower()
    return server in servers and any(_FAILED.match(one) for one in results)
