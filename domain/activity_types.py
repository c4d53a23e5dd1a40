"""The words that types of client activity are, and names of webhooks' events: `call`, `form`, `payment`."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"
USUAL: Final = (
    "call", "missed_call", "email", "sms", "chat", "form", "payment", "document_viewed", "page_viewed",
)  # fmt: skip
"""Those that everybody means alike; a reporter may have others."""


def wrong_type(word: str) -> str:
    """Why nothing can ever be reported under that word; empty for one that can be a type."""
    if re.fullmatch(PATTERN.strip("^$"), word):
        return ""
    bare = re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")
    near = get_close_matches(bare, USUAL, n=1) or get_close_matches(bare.replace("_", ""), USUAL, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{word[:80]!r} can be no type of activity: lower case, digits and _, as 'missed_call'{hint}"
