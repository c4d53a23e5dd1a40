"""Documents are made in a process without files and network, and with bounds of time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from activities.providers.documents import Job, NotRendered
from activities.providers.render_process import RenderProcess
from tests.kinds.tiny_font import tiny_font
from tests.kinds.workshop import DOT, word, words

DATA = {"values": {"client": "Zoë & <Co>"}, "record": {"title": "A roof"}, "number": "7", "lines": [1, 2]}
USE = '#import "jalon.typ": data, stamp\n'


async def made(
    form: str, template: str | bytes, *, stamp: bytes = b"", seconds: float = 20, fonts: Path | None = None
) -> bytes:
    source = template.encode() if isinstance(template, str) else template
    job = Job("typst" if form == "typst" else "docx", source, json.dumps(DATA).encode(), stamp, 1_772_000_000)
    return await RenderProcess(seconds, fonts).render(job)


async def refused(
    form: str, template: str | bytes, *, seconds: float = 20, fonts: Path | None = None
) -> NotRendered:
    with pytest.raises(NotRendered) as error:
        await made(form, template, seconds=seconds, fonts=fonts)
    return error.value


# -- PDF ---------------------------------------------------------------------------------------------
async def test_a_typst_template_gives_a_pdf_with_the_data() -> None:
    pdf = await made("typst", USE + "= Offer #data.number: #data.record.title #data.lines.len()")
    assert pdf.startswith(b"%PDF-1.7")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Title(Offer 7: A roof 2)" in pdf


async def test_the_same_job_gives_the_same_bytes() -> None:
    assert await made("typst", USE + "= #data.number") == await made("typst", USE + "= #data.number")


async def test_without_a_stamp_the_template_is_told_so_and_with_one_it_has_the_image() -> None:
    template = USE + "= #if stamp == none [unsigned] else [signed]\n#if stamp != none { image(stamp) }"
    assert b"/Title(unsigned)" in await made("typst", template)
    signed = await made("typst", template, stamp=DOT)
    assert b"/Title(signed)" in signed
    assert b"/Subtype/Image" in signed


# -- letters -----------------------------------------------------------------------------------------
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text y='9'>{}</text></svg>"


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("plain 中, and 文 中", "中 (U+4E2D), 文 (U+6587)"),
        ("= #emoji.face", "😀 (U+1F600)"),
        ('#str.from-unicode(7) #"\\\\" #str.from-unicode(0xfdd0)', "U+0007, U+FDD0"),
        ("`code 中`", "中 (U+4E2D)"),
        ("#text(fallback: false)[✓]", "✓ (U+2713)"),
        ('$x_"中"$', "中 (U+4E2D)"),
        (f'#image(bytes("{SVG.format("中")}"))', "中 (U+4E2D)"),
        ('中 #pdf.attach("a.txt", bytes("a")) #str.from-unicode(0xe000)', "中 (U+4E2D)"),
    ],
)
async def test_a_letter_that_no_font_has_is_named_and_never_a_box(text: str, letters: str) -> None:
    error = await refused("typst", text)
    assert (error.reason, error.message) == ("missing_letters", f"no font of the document has {letters}")


async def test_of_many_missing_letters_twenty_are_named() -> None:
    error = await refused("typst", "#for n in range(50) { str.from-unicode(0x4e00 + n) }")
    assert error.message.count("U+") == 20
    assert error.message.endswith(" and 30 more")


@pytest.mark.parametrize(
    "text",
    [
        "Zoë Łódź Žižek ğ ß € “q” – … α Привет",
        "soft\u00adhyphen no\u00a0break zero\u200bwidth joined\u200d mark\ufe0f \u200eturned e\u0301",
        '#pdf.attach("a.txt", bytes("a"))',  # what follows is no PDF/A, and need not be
        "#text(fill: black.transparentize(50%))[x] $integral x^2$ #link(\"https://x.example\")[y]",
    ],
)
async def test_what_the_fonts_have_is_made_whatever_a_standard_says_of_it(text: str) -> None:
    assert (await made("typst", text)).startswith(b"%PDF-1.7")


async def test_a_font_of_the_folder_is_found_for_the_letters_it_has_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "one.ttf").write_bytes(tiny_font("Snow One", "中文"))
    (tmp_path / "bold.ttf").write_bytes(tiny_font("Snow One", "中文", weight=700))
    (tmp_path / "readme.txt").write_text("not a font")
    assert b"SnowOne" in await made("typst", "plain 中 *文*", fonts=tmp_path)
    assert b"SnowOne" in await made("typst", '#text(font: "Snow One")[中]', fonts=tmp_path)
    assert "U+96EA" in (await refused("typst", "雪", fonts=tmp_path)).message


async def test_a_folder_with_more_fonts_than_may_be_in_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.ttf").open("wb") as file:
        file.write(tiny_font("Snow One", "中"))
        file.truncate(300 * 2**20)
    assert "have 300 MB, and 256 MB may be" in (await refused("typst", "hi", fonts=tmp_path)).message


# -- what a template may not ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reach", "told"),
    [
        ('read("/etc/hostname")', "not found"),
        ('read("../../etc/passwd")', "escape the project root"),
        ('image("/proc/self/environ")', "not found"),
        ('plugin("/x.wasm")', "not found"),
        ('{ import "@preview/" + "cetz:0.3.1": * }', "not found"),
    ],
)
async def test_a_template_reads_no_file_but_its_own(reach: str, told: str) -> None:
    assert told in (await refused("typst", f"#{reach}")).message
    assert await made("typst", '#read("main.typ")')


GIVEN_UP = """
import socket
from activities.providers.render_child import give_up
wanted = {
    "file": lambda: open("/dev/null"),
    "network": lambda: socket.socket(),
    "memory": lambda: bytearray(2**30),
}
give_up()
for name, have in wanted.items():
    try:
        have()
    except (OSError, MemoryError) as error:
        print(name, type(error).__name__)
"""


async def test_before_a_template_runs_files_network_and_memory_are_given_up_for_ever() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GIVEN_UP, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await child.communicate()
    assert told.decode().splitlines() == ["file OSError", "network OSError", "memory MemoryError"]


# -- DOCX --------------------------------------------------------------------------------------------
async def test_a_word_template_gives_a_word_document_with_the_data() -> None:
    template = word("Dear {{ values.client }},", "{%p for line in lines %}", "- {{ line }}", "{%p endfor %}")
    assert words(await made("docx", template)) == "Dear Zoë & <Co>,\n- 1\n- 2"


async def test_a_word_document_may_bear_a_stamp() -> None:
    template = word("{{ stamp }}")
    assert len(await made("docx", template, stamp=DOT)) > len(await made("docx", template))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ values.nobody }}", "no attribute 'nobody'"),
        ("{% if %}", "Expected an expression"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ lines.append(1) }}", "unsafe"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ 'a' * 10 ** 9 }}", "MemoryError"),
        ("{% include 'x' %}", "no loader"),
    ],
)
async def test_a_broken_word_template_is_refused_in_plain_words(place: str, told: str) -> None:
    error = await refused("docx", word(place))
    assert error.reason == "template_broken"
    assert told in error.message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"%PDF-1.7", os.urandom(4000)])
async def test_what_is_no_word_document_is_refused(content: bytes) -> None:
    assert (await refused("docx", content)).reason == "template_broken"


# -- bounds ------------------------------------------------------------------------------------------
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("form", "template"),
    [
        ("typst", "#for i in range(99999) { for j in range(99999) { let x = j } }"),
        ("docx", word(ENDLESS)),
    ],
)
async def test_what_does_not_end_is_stopped(form: str, template: str | bytes) -> None:
    error = await refused(form, template, seconds=0.7)
    assert (error.reason, error.message) == ("too_slow", "the document is not made in 0.7 s")


@pytest.mark.parametrize("template", ["#range(999999999)", "#(\"x\" * 999999999).len()"])
async def test_what_takes_all_memory_is_refused(template: str) -> None:
    assert (await refused("typst", template)).reason == "template_broken"


async def test_who_no_longer_waits_leaves_no_process_behind() -> None:
    endless = "#for i in range(99999) { for j in range(99999) { let x = j } }"
    waiting = asyncio.create_task(made("typst", endless))
    while not (children := _renderers()):  # noqa: ASYNC110 - nobody tells of a process that has begun
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not children & _renderers()


def _renderers() -> set[int]:
    """The processes that this one has started to make documents."""
    found: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and b"render_child" in command and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found
