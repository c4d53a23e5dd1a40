"""The fonts of PDF documents: Typst's own, and those of a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typst

MOST: Final = 256 * 1024 * 1024
"""Bytes of all faces together; a file of several faces counts once for each, as each holds it."""
OWN: Final = typst.Fonts(include_system_fonts=False)


def of_folder(folder: str) -> typst.Fonts:
    """Typst's own and those below `folder` (TrueType, OpenType). Raises `ValueError` for too many."""
    found = typst.Fonts(include_system_fonts=False, font_paths=[folder])
    size = sum(Path(face.path).stat().st_size for face in found.fonts() if face.path)
    if size > MOST:
        raise ValueError(
            f"the fonts below {folder} have {size >> 20} MB, and {MOST >> 20} MB may be: leave there those"
            " that documents need"
        )
    return found


def force(fonts: typst.Fonts, root: str) -> None:
    """Read all faces. Typst knows only their names until a text is set in one, and then opens its file.

    Of two files that say they are the same face of the same family one is read; a letter that only the other
    has is missing.
    """
    faces = [
        {"font": face.family, "weight": face.weight, "style": face.style.lower(), "stretch": face.stretch}
        for face in fonts.fonts()
        if face.path
    ]
    files = {"main.typ": _ALL_FACES, "faces.json": json.dumps(faces).encode()}
    compile_files(files, root, fonts)


def compile_files(
    files: dict[str, bytes], root: str, fonts: typst.Fonts, at: int = 0, standards: Sequence[str] = ()
) -> bytes:
    """The PDF that `main.typ` among the files says, with these fonts alone. Raises `typst.TypstError`."""
    made: bytes = typst.compile(  # type: ignore[call-overload]  # dict is not in its stubs
        files, root=root, format="pdf", timestamp=at, font_paths=fonts, ignore_system_fonts=True,
        pdf_standards=[*standards],
    )  # fmt: skip
    return made


_ALL_FACES: Final = b"""
#for face in json("faces.json") {
  face.stretch *= 100%
  text(..face)[a]
}
"""
