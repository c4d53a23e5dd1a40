"""PDF out of a Typst template. Run only where `render_child` has taken away files and network.

The library fetches packages of the language from the network and reads files below its root, and neither can
be switched off in it.
"""

from __future__ import annotations

import re
from typing import Final

import typst

from activities.providers.documents import MissingLetters
from activities.providers.fonts import OWN, compile_files, force

_LIBRARY: Final = """
#let data = json("data.json")
#let stamp = {
  let signs = read("stamp.txt").codepoints()
  if signs.len() == 0 { none } else { bytes(signs.map(str.to-unicode)) }
}
"""


_STRICT: Final = "a-4f"
"""The standard (PDF/A, with attachments) in which Typst names what no font has; nobody has to meet it."""
_MISSING: Final = re.compile(r'(?m)^error: PDF/A-4f error: the text `"(.*)"` could not be displayed')
_ESCAPED: Final = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")
_PLAIN: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_OWN_LINE: Final = re.compile(r"^(main\.typ:)(\d+)")
_STOPPED: Final = "well formed"
_STOP: Final = f'#panic("{_STOPPED}")\n'.encode()


def warm_up(root: str, fonts: typst.Fonts = OWN) -> None:
    """Have the library read and import all that it does late: afterwards no file can be opened."""
    force(fonts, root)
    pdf(b"", b"{}", b"", 0, root, fonts)


def parse(template: bytes, root: str) -> bytes:
    """Nothing, if the template is well formed: what stands before it stops it before it does anything.

    Raises `ValueError` with the place and what is wrong.
    """
    try:
        pdf(_STOP + template, b"{}", b"", 0, root)
    except ValueError as error:
        if _STOPPED not in str(error):
            raise ValueError(_OWN_LINE.sub(lambda at: f"{at[1]}{int(at[2]) - 1}", str(error))) from error
    return b""


def pdf(template: bytes, data: bytes, stamp: bytes, at: int, root: str, fonts: typst.Fonts = OWN) -> bytes:
    """The document. The template says `#import "jalon.typ": data, stamp`, and `root` is an empty folder.

    Raises `ValueError` with the place and what is wrong with the template, `MissingLetters` where a letter
    would be a box.
    """
    files = {
        "main.typ": template,
        "jalon.typ": _LIBRARY.encode(),
        "data.json": data,
        # files handed over have to be text: each byte is written as the letter with its number
        "stamp.txt": stamp.decode("latin-1").encode(),
    }
    made = _compiled(files, at, root, fonts)
    if letters := _missing(files, at, root, fonts):
        raise MissingLetters(letters)
    return made


def _compiled(files: dict[str, bytes], at: int, root: str, fonts: typst.Fonts) -> bytes:
    try:
        made = compile_files(files, root, fonts, at)
    except typst.TypstError as error:
        shown = error.diagnostic.splitlines()
        place = next((line.strip(" ┌─") for line in shown if "┌─" in line), "")
        raise ValueError(f"{place}: {error.message}" if place else error.message) from error
    except (RuntimeError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    return made


def _missing(files: dict[str, bytes], at: int, root: str, fonts: typst.Fonts) -> str:
    """The letters that the document shows as boxes; what is laid out is not laid out again for it."""
    try:
        compile_files(files, root, fonts, at, [_STRICT])
    except typst.TypstError as error:
        texts = [_ESCAPED.sub(_unescaped, found) for found in _MISSING.findall(error.diagnostic)]
        return "".join(dict.fromkeys("".join(texts)))
    return ""


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _PLAIN.get(found[2], found[2])
