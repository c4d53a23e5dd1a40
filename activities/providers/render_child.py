"""The process that makes one document: `python -m activities.providers.render_child`, and then it ends.

Templates are programs. Before one runs, the process gives up for ever what it must not have: files and the
network (no descriptor can be opened any more), memory, time. It gets its job on the standard input and
answers on the standard output: `made` and the document, `broken` and why, or `letters` and which no font has.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from activities.providers.documents import MissingLetters

Make = Callable[[bytes, bytes, bytes], bytes]
CPU_SECONDS = 10  # for whoever has lost its parent; that one is less patient
MEMORY = 768 * 1024 * 1024


def main() -> None:
    """Make the document that the standard input asks for."""
    head = json.loads(sys.stdin.buffer.readline())
    template, data, stamp = (sys.stdin.buffer.read(size) for size in head["sizes"])
    try:
        make = _typst(head) if head["format"] == "typst" else _docx(head["parse_only"])
        give_up()
        made = make(template, data, stamp)
    except MissingLetters as missing:
        _answer(b"letters", str(missing).encode())
    except ValueError as error:
        _answer(b"broken", str(error)[:1000].encode(errors="replace"))
    except (MemoryError, OSError, RecursionError) as error:
        _answer(b"broken", f"it takes what it may not have: {type(error).__name__}".encode())
    else:
        _answer(b"made", made)


def _typst(head: Mapping[str, Any]) -> Make:
    from activities.providers.fonts import OWN, of_folder
    from activities.providers.typst_pdf import parse, pdf, warm_up

    root = str(Path.cwd())
    fonts = of_folder(head["fonts"]) if head["fonts"] else OWN
    warm_up(root, fonts)
    if head["parse_only"]:
        return lambda template, data, stamp: parse(template, root)
    return lambda template, data, stamp: pdf(template, data, stamp, head["at"], root, fonts)


def _docx(parse_only: bool) -> Make:
    from activities.providers.docx import docx, parse, warm_up

    warm_up()
    return (lambda template, data, stamp: parse(template)) if parse_only else docx


def give_up() -> None:
    """What is given up as a hard limit cannot be had again (setrlimit(2))."""
    limits = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 3,  # standard input, output, errors: nothing else is ever opened
    }
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))


def _answer(word: bytes, content: bytes) -> None:
    sys.stdout.buffer.write(word + b"\n" + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
