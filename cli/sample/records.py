"""Clients, leads and deals of the sample company.

The dates that move a record within its first minute are given in seconds, the others in days. Nothing is left
to chance: two loads differ by their instants alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from cli.sample.company import ZONE
from db.creation import NewRecord
from domain.amounts import Line


class Firm(NamedTuple):
    """A client that is an organisation."""

    name: str
    address: str


class Person(NamedTuple):
    """A client that is a person, perhaps of a firm; who gave no e-mail address can only be called.

    The telephone numbers are set apart for films: nobody has them.
    """

    first_name: str
    last_name: str
    phone: str
    mails: bool = True
    firm: str | None = None

    @property
    def email(self) -> str:
        return f"{self.first_name}.{self.last_name}@example.com".lower() if self.mails else ""


class Seconds(NamedTuple):
    """An instant, so long after the load."""

    seconds: int


class Day(NamedTuple):
    """A date, so many days after the load."""

    days: int


class Hour(NamedTuple):
    """A clock time of the company, so many days after the load."""

    days: int
    hour: int


Value = JsonValue | Seconds | Day | Hour


class Planned(NamedTuple):
    """A record of the sample; `client` and `firm` are keys of `PEOPLE` and `FIRMS`.

    `products` come to the `amount`; a record without any is sold as a whole.
    """

    pipeline: Literal["leads", "sales", "delivery"]
    stage: str
    title: str
    responsible: str | None
    client: str | None = None
    firm: str | None = None
    amount: int | None = None
    source: str = "website"
    fields: Mapping[str, Value] = {}
    products: Sequence[Line] = ()


FIRMS: Final = {
    "adler": Firm("Hotel Adler", "Marktplatz 4, Landshut"),
    "parish": Firm("Parish of St Martin", "Kirchgasse 1, Landshut"),
    "huber": Firm("Huber & Partner, lawyers", "Altstadt 88, Landshut"),
}
PEOPLE: Final = {
    "brandt": Person("Clara", "Brandt", "+49 171 39200 01"),
    "weber": Person("Anton", "Weber", "+49 171 39200 02"),
    "adler": Person("Sophie", "Adler", "+49 171 39200 03", firm="adler"),
    "father": Person("Georg", "Maier", "+49 171 39200 04", firm="parish"),
    "huber": Person("Miriam", "Huber", "+49 171 39200 05", firm="huber"),
    "hofmann": Person("Erika", "Hofmann", "+49 171 39200 06"),
    "seidl": Person("Josef", "Seidl", "+49 171 39200 07", mails=False),
    "yilmaz": Person("Deniz", "Yilmaz", "+49 171 39200 08"),
    "kraus": Person("Nina", "Kraus", "+49 171 39200 09"),
}
RECORDS: Final = [
    # goes all the way in its first minutes, then waits for the client
    Planned(
        "sales", "new", "Oak stairs for the Brandts' new house", "paula", "brandt", amount=12_800,
        fields={
            "wood": "oak", "call_back_at": Seconds(8), "offer_at": Seconds(16), "answer_by": Seconds(28),
            "signed": True, "handover_at": Seconds(42), "production_at": Seconds(55), "ready_at": Seconds(80),
        },
        products=[
            Line(sku="ST-OAK", name="Stairs, oak, 16 treads", unit_price=Decimal(10_400)),
            Line(sku="RAIL", name="Railing, metre", quantity=Decimal(8), unit_price=Decimal(250)),
            Line(sku="FIT", name="Fitting, half a day", unit_price=Decimal(400)),
        ],
    ),
    Planned(
        "sales", "new", "Loft ladder, folding", "jonas", "seidl", amount=940, source="phone",
        fields={"wood": "beech", "call_back_at": Seconds(15), "offer_at": Hour(2, 9), "measure_on": Day(1)},
    ),
    # the offer is overdue within the minute
    Planned(
        "sales", "contacted", "Two flights for the hotel's annexe", "paula", "adler", "adler", 31_500,
        source="trade fair", fields={"wood": "ash", "offer_due_at": Seconds(20), "measure_on": Day(2)},
    ),
    # the client promised an answer and does not give one
    Planned(
        "sales", "offer", "Railing for the organ loft", "hannes", "father", "parish", 5_200,
        source="recommendation",
        fields={"wood": "oak", "answer_by": Seconds(35)},
    ),
    Planned(
        "sales", "offer", "Spiral stairs, Weber", "jonas", "weber", amount=8_400, fields={"wood": "larch"},
    ),
    Planned(
        "sales", "negotiation", "Stairs and panelling for the office", "hannes", "huber", "huber", 18_900,
        source="recommendation", fields={"wood": "oak", "decision_by": Seconds(45), "signed": False},
    ),
    # won: goes to the workshop, its railing as an order of its own
    Planned(
        "sales", "won", "Cellar stairs, Hofmann", "paula", "hofmann", amount=3_600,
        fields={
            "wood": "beech", "handover_at": Seconds(22), "production_at": Hour(9, 8), "railing_later": True,
        },
    ),
    Planned(
        "sales", "lost", "Outdoor stairs, Kraus", "jonas", "kraus", amount=4_100, fields={"wood": "larch"},
    ),
    Planned(
        "delivery", "planning", "Reception desk and steps, Hotel Adler", "mirko", "adler", "adler", 9_700,
        source="trade fair", fields={"wood": "ash", "production_at": Hour(5, 8), "ready_at": Hour(12, 15)},
    ),
    Planned(
        "delivery", "production", "Gallery stairs, Yilmaz", "mirko", "yilmaz", amount=14_300,
        fields={"wood": "oak", "ready_at": Seconds(30)},
    ),
    Planned(
        "leads", "new", "Stairs for an extension, spring", "paula", "kraus", amount=6_500,
        fields={"call_back_at": Seconds(12)},
    ),
    # qualifies as soon as somebody enters what it may cost
    Planned("leads", "new", "Do you repair creaking stairs?", "jonas", "seidl", source="phone"),
    Planned(
        "leads", "new", "Win big at our CASINO tonight!!!", "paula",
        fields={"email": ["winner@casino.example.com"]},
    ),
    Planned("leads", "qualified", "New treads for the parish hall", "hannes", "father", "parish", 3_900),
    # two that nobody has taken yet: who called is known at once, who wrote becomes a deal with its contact
    Planned(
        "leads", "new", "Handrail for the cellar", None, source="phone",
        fields={"first_name": "Ute", "last_name": "Berger", "phone": ["+49 171 39200 31"]},
    ),
    Planned(
        "leads", "new", "Open stairs for a loft", None, amount=11_200,
        fields={
            "first_name": "Emil", "last_name": "Sandner", "email": ["emil.sandner@example.com"],
            "phone": ["+49 171 39200 32"], "call_back_at": Seconds(25), "measure_on": Day(3),
        },
    ),
    Planned(
        "sales", "won", "Library ladder, Huber & Partner", "hannes", "huber", "huber", 2_750,
        source="recommendation", fields={"wood": "oak", "handover_at": Hour(2, 8)},
    ),
    # paid and fitted: what is left is the invoice
    Planned(
        "delivery", "done", "Attic stairs, Kraus", "mirko", "kraus", amount=5_300, fields={"wood": "ash"},
        products=[
            Line(sku="ST-ASH", name="Stairs, ash, 12 treads", unit_price=Decimal(4_900)),
            Line(sku="FIT", name="Fitting, half a day", unit_price=Decimal(400)),
        ],
    ),
]  # fmt: skip


def planned(
    at: datetime, contacts: Mapping[str, int], companies: Mapping[str, int]
) -> Iterator[tuple[NewRecord, Sequence[Line]]]:
    """The records to be created, each with what is sold on it.

    Instants are counted from `at`; the ids of clients are given by their keys.
    """
    for record in RECORDS:
        new = NewRecord(
            type="lead" if record.pipeline == "leads" else "deal",
            pipeline=record.pipeline,
            stage=record.stage,
            title=record.title,
            amount=None if record.amount is None else Decimal(record.amount),
            source=record.source,
            responsible=record.responsible,
            contact=contacts[record.client] if record.client else None,
            company=companies[record.firm] if record.firm else None,
            fields={name: _fixed(value, at) for name, value in record.fields.items()},
        )
        yield new, record.products


def _fixed(value: Value, at: datetime) -> JsonValue:
    today = at.astimezone(ZoneInfo(ZONE))
    match value:
        case Seconds():
            return (at + timedelta(seconds=value.seconds)).isoformat()
        case Day():
            return (today + timedelta(days=value.days)).date().isoformat()
        case Hour():
            then = today + timedelta(days=value.days)
            return then.replace(hour=value.hour, minute=0, second=0, microsecond=0).isoformat()
    return value
