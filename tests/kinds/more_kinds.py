"""Kinds that are there for a test alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import activities.rules
from activities.catalogue import effects

POISONOUS = Path(__file__).with_name("poisonous")


@contextmanager
def kinds_of(folder: Path) -> Iterator[None]:
    """Inside the block the catalogue has the kinds of this folder too."""
    before = list(activities.rules.__path__)
    activities.rules.__path__.append(str(folder))
    effects.cache_clear()
    try:
        effects()
        yield
    finally:
        activities.rules.__path__[:] = before
        effects.cache_clear()
        for file in folder.glob("*.py"):
            sys.modules.pop(f"activities.rules.{file.stem}", None)
