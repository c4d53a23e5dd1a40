"""DOCX out of a Word template with places like `{{ values.client }}`. Run only in `render_child`.

The places are Jinja's, in its sandbox: no attribute of an object is walked that begins with an underscore,
nothing is changed. The sandbox bounds neither time nor memory (`{{ 'a' * 10**9 }}`): the process does.
"""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from typing import Final
from zipfile import BadZipFile

from docx import Document
from docx.shared import Mm
from docxtpl import DocxTemplate, InlineImage  # type: ignore[import-untyped]  # it has no types
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_STAMP: Final = Mm(40)
_DOT: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""An image (PNG) of one point."""


def warm_up() -> None:
    """Have the libraries import all that they import late: afterwards no file can be opened."""
    for text in ('{{ stamp }} {{ "a" }}', "{{ nothing }}"):
        template, document = BytesIO(), Document()
        document.add_paragraph(text)
        document.save(template)
        with suppress(ValueError):
            parse(template.getvalue())
        with suppress(ValueError):
            docx(template.getvalue(), b"{}", _DOT)


def parse(template: bytes) -> bytes:
    """Nothing, if all places of the template are well formed. Raises `ValueError` with what is wrong."""
    try:
        document = DocxTemplate(BytesIO(template))
        document.get_undeclared_template_variables(ImmutableSandboxedEnvironment())
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ValueError(f"{'' if line is None else f'line {line}: '}{error.message}") from error
    except (AttributeError, BadZipFile, LookupError, TypeError, UnicodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return b""


def docx(template: bytes, data: bytes, stamp: bytes) -> bytes:
    """The document; `{{ stamp }}` is the image, 40 mm wide. Raises `ValueError` with what is wrong."""
    made = BytesIO()
    try:
        document = DocxTemplate(BytesIO(template))
        values = json.loads(data)
        values["stamp"] = InlineImage(document, BytesIO(stamp), width=_STAMP) if stamp else ""
        sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
        document.render(values, jinja_env=sandbox, autoescape=True)
        document.save(made)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ValueError(f"{'' if line is None else f'line {line}: '}{error.message}") from error
    except (ArithmeticError, AttributeError, BadZipFile, LookupError, TypeError, UnicodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return made.getvalue()
