"""A font (OpenType 1.9, with TrueType outlines) that has a few letters, each a filled square."""

from __future__ import annotations

from struct import pack

_SQUARE = pack(">5h", 1, 0, 0, 800, 800) + pack(">HH", 3, 0) + bytes([1] * 4)
_SQUARE += pack(">8h", 0, 0, 800, 0, 0, 800, -800, 0)  # x and y of four corners, each from the one before


def tiny_font(family: str, letters: str, weight: int = 400) -> bytes:
    """The file of a font of that family."""
    glyphs = len(letters) + 1
    tables = {
        b"OS/2": _os2(letters, weight),
        b"cmap": _cmap(letters),
        b"glyf": _SQUARE,
        b"head": pack(">IIIIHHqq", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, 1000, 0, 0)
        + pack(">hhhhHHhhh", 0, 0, 800, 800, 0, 8, 2, 1, 0),
        b"hhea": pack(">I15hH", 0x10000, 800, -200, 0, 1000, 0, 0, 800, 1, *[0] * 7, glyphs),
        b"hmtx": pack(">Hh", 1000, 0) * glyphs,
        b"loca": pack(f">{glyphs + 1}I", *(len(_SQUARE) * (at > 0) for at in range(glyphs + 1))),
        b"maxp": pack(">I14H", 0x10000, glyphs, 4, 1, 0, 0, 1, *[0] * 8),
        b"name": _name(family),
        b"post": pack(">I7I", 0x30000, *[0] * 7),
    }  # fmt: skip
    head, body = pack(">IHHHH", 0x10000, len(tables), 128, 3, 32), b""
    for tag, table in tables.items():
        head += tag + pack(">III", 0, 12 + 16 * len(tables) + len(body), len(table))
        body += table + b"\0" * (-len(table) % 4)
    return head + body


def _cmap(letters: str) -> bytes:
    """Format 12: each letter is a glyph of its own; glyph 0 is what is shown for all others."""
    numbered = enumerate(sorted(letters), 1)
    groups = b"".join(pack(">III", ord(letter), ord(letter), glyph) for glyph, letter in numbered)
    table = pack(">HHIII", 12, 0, 16 + len(groups), 0, len(letters)) + groups
    return pack(">HHHHI", 0, 1, 3, 10, 12) + table


def _name(family: str) -> bytes:
    texts = {1: family, 2: "Regular", 4: family, 6: family.replace(" ", "")}
    entries, kept = b"", b""
    for name, text in texts.items():
        written = text.encode("utf-16-be")
        entries += pack(">6H", 3, 1, 0x409, name, len(written), len(kept))
        kept += written
    return pack(">HHH", 0, len(texts), 6 + len(entries)) + entries + kept


def _os2(letters: str, weight: int) -> bytes:
    first, last = (min(ord(one), 0xFFFF) for one in (min(letters), max(letters)))
    sizes = (500, 500, 0, 0, 500, 500, 0, 0, 50, 250, 0)
    return (
        pack(">HhHHH", 4, 1000, weight, 5, 0) + pack(">11h", *sizes) + bytes(10) + pack(">4I", 0, 0, 0, 0)
        + b"NONE" + pack(">HHH3hHH", 0x40, first, last, 800, -200, 0, 800, 200) + pack(">II", 0, 0)
        + pack(">hhHHH", 500, 700, 0, 32, 1)
    )  # fmt: skip
