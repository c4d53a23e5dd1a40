"""Makes documents in processes of their own, one each, that can be stopped."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from activities.providers.blobs import LARGEST
from activities.providers.documents import Job, NotRendered

SECONDS: Final = 5.0
MOST: Final = LARGEST + 100  # bytes of an answer
_COMMAND: Final = (sys.executable, "-I", "-m", "activities.providers.render_child")
# one thread: with more, a process reserves more memory than its limit; nothing of our own environment
_ENVIRONMENT: Final = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class RenderProcess:
    """A template is a program: it gets `seconds` on the clock, and what `render_child` leaves it.

    `fonts` is a folder with fonts beside Typst's own; without one those are all.
    """

    def __init__(self, seconds: float = SECONDS, fonts: Path | None = None) -> None:
        self._seconds, self._fonts = seconds, "" if fonts is None else str(fonts.absolute())

    async def render(self, job: Job) -> bytes:
        with TemporaryDirectory(prefix="jalon-") as empty:
            child = await asyncio.create_subprocess_exec(
                *_COMMAND, cwd=empty, env=_ENVIRONMENT, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await _talk(child, job, self._fonts)
                    if len(answer) <= MOST:
                        await child.wait()
            except TimeoutError:
                raise NotRendered("too_slow", f"the document is not made in {self._seconds:g} s") from None
            finally:
                if child.returncode is None:
                    with suppress(ProcessLookupError):
                        child.kill()
                    await child.wait()
        return _judged(answer)


async def _talk(child: asyncio.subprocess.Process, job: Job, fonts: str) -> bytes:
    """Hand the job over and read the answer, at most a little more than may be kept."""
    assert child.stdin and child.stdout  # noqa: S101  # both are pipes
    parts = (job.template, job.data, job.stamp)
    head = {
        "format": job.format, "at": job.at, "parse_only": job.parse_only, "fonts": fonts,
        "sizes": [len(part) for part in parts],
    }  # fmt: skip
    with suppress(ConnectionError):  # a child that died early has an answer too: none
        child.stdin.writelines((json.dumps(head).encode(), b"\n", *parts))
        await child.stdin.drain()
        child.stdin.close()
    read = bytearray()
    while len(read) <= MOST and (more := await child.stdout.read(2**16)):
        read += more
    return bytes(read)


def _judged(answer: bytes) -> bytes:
    word, _, content = answer.partition(b"\n")
    if len(answer) > MOST:
        raise NotRendered("template_broken", f"the document has more than {LARGEST} bytes")
    if word == b"made":
        return content
    if word == b"letters":
        raise NotRendered("missing_letters", content.decode())
    told = content.decode(errors="replace") or "it takes more memory or time than a document may"
    raise NotRendered("template_broken", told)
