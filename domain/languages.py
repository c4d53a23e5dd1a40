"""Languages of readers by BCP 47 (`de-DE`, `pt`), as far as CLDR knows how they write dates and amounts."""

from __future__ import annotations

from functools import lru_cache

from babel import Locale, UnknownLocaleError


@lru_cache(maxsize=256)
def language(tag: str) -> Locale:
    """How dates, amounts and numbers are written where that is spoken.

    Raises `ValueError` for a tag that is none, or that CLDR knows nothing of.
    """
    try:
        return Locale.parse(tag.replace("-", "_"))
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError(f"there is no language {tag[:40]!r}; write it like 'de' or 'de-DE'") from error
