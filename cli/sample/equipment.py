"""With what the sample company works: things that can be booked, numbers, and what its papers look like."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files

from db.rows import Rows

OFFER = "offer"
"""The template of what clients are offered."""


def template() -> bytes:
    """The source of the offer, from the file beside this one; it is written in Typst."""
    return files("cli.sample").joinpath("templates", f"{OFFER}.typ").read_bytes()


def equipment(at: datetime, offer: str) -> list[Rows]:
    """Vehicles, number series, and the first version of the offer, whose source is kept under that digest."""
    return [
        Rows(
            "resource",
            [
                {"id": "car", "title": "Estate car", "calendar_id": None},
                {"id": "van", "title": "Van with the lift", "calendar_id": "office"},
            ],
        ),
        Rows(
            "number_series",
            [
                {"id": "offers", "pattern": "OFFER-{year}-{number:04}"},
                {"id": "quotes", "pattern": "Q-{year}-{number:05}"},
                {"id": "invoices", "pattern": "INV-{year}-{number:05}"},
            ],
        ),
        Rows(
            "document_template",
            [
                {
                    "id": OFFER,
                    "version": 1,
                    "title": "Offer",
                    "format": "typst",
                    "source": offer,
                    "required": ["client", "amount"],
                    "published_at": at,
                }
            ],
        ),
    ]
