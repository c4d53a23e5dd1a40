"""HTML as plain text: what a reader sees of it, in lines; at a cost that grows with its length alone."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

_MOST: Final = 1_000_000  # characters that are read
_TOKEN: Final = re.compile(r"<!--|<[^<>]*>|[^<]+|<")
_TAG: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_BREAKS: Final = frozenset({"p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote"})
_UNSEEN: Final = frozenset({"script", "style", "head", "title"})


def plain(html: str) -> str:
    """The text of it; no markup is left, and nothing of scripts, styles and comments."""
    pieces: list[str] = []
    place, hidden, html = 0, "", html[:_MOST]
    while found := _TOKEN.match(html, place):
        piece, place = found[0], found.end()
        if piece == "<!--":
            end = html.find("-->", place)
            place = end + 3 if end >= 0 else len(html)
        elif tag := _TAG.match(piece):
            closes, name = bool(tag[1]), tag[2].lower()
            if hidden:
                hidden = "" if closes and name == hidden else hidden
            elif name in _UNSEEN and not closes:
                hidden = name
            elif name in _BREAKS:
                pieces.append("\n")
        elif not hidden and not (piece.startswith("<") and piece.endswith(">")):
            pieces.append(re.sub(r"\s+", " ", piece))
    lines = (" ".join(line.split()) for line in unescape("".join(pieces)).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
