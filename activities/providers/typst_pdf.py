"""PDF out of a Typst template. Run only where `render_child` has taken away files and network.

The library fetches packages of the language from the network and reads files below its root, and neither can
be switched off in it.
"""

from __future__ import annotations

import re
from typing import Final

import typst

_LIBRARY: Final = """
#let data = json("data.json")
#let stamp = {
  let signs = read("stamp.txt").codepoints()
  if signs.len() == 0 { none } else { bytes(signs.map(str.to-unicode)) }
}
"""


_OWN_LINE: Final = re.compile(r"^(main\.typ:)(\d+)")
_STOPPED: Final = "well formed"
_STOP: Final = f'#panic("{_STOPPED}")\n'.encode()


def warm_up(root: str) -> None:
    """Have the library import all that it imports late: afterwards no file can be opened."""
    pdf(b"", b"{}", b"", 0, root)


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


def pdf(template: bytes, data: bytes, stamp: bytes, at: int, root: str) -> bytes:
    """The document. The template says `#import "jalon.typ": data, stamp`, and `root` is an empty folder.

    Raises `ValueError` with the place and what is wrong with the template.
    """
    files = {
        "main.typ": template,
        "jalon.typ": _LIBRARY.encode(),
        "data.json": data,
        # files handed over have to be text: each byte is written as the letter with its number
        "stamp.txt": stamp.decode("latin-1").encode(),
    }
    try:
        made = typst.compile(files, root=root, format="pdf", ignore_system_fonts=True, timestamp=at)  # type: ignore[call-overload]  # dict is not in its stubs
    except typst.TypstError as error:
        shown = error.diagnostic.splitlines()
        place = next((line.strip(" ┌─") for line in shown if "┌─" in line), "")
        raise ValueError(f"{place}: {error.message}" if place else error.message) from error
    except (RuntimeError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    return bytes(made)
