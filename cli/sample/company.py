"""Who works at the sample company and when, who its clients are, and which pipelines it has."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from holidays import country_holidays

from db.rows import Rows
from domain.calendar import Calendar

ZONE: Final = "Europe/Berlin"
OWNER: Final = "greta"
"""Who publishes the rules, and is told of failures."""
_OFFICE: Final = ["08:00-12:00", "12:45-17:00"]
_FRIDAY: Final = ["08:00-12:00", "12:45-15:00"]
_MORNING: Final = ["08:30-12:30"]


def staff(at: datetime) -> list[Rows]:
    """Departments, employees, calendars and absences, as they are at that instant."""
    free = _holidays(at)
    office = _calendar(dict.fromkeys(("mon", "tue", "wed", "thu"), _OFFICE) | {"fri": _FRIDAY}, free)
    mornings = _calendar(dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), _MORNING), free)
    return [
        Rows(
            "calendar",
            [
                {"id": "office", "title": "Office and workshop", "definition": office},
                {"id": "mornings", "title": "Mornings only", "definition": mornings},
            ],
        ),
        Rows(
            "setting",
            [
                {"key": "zone", "value": ZONE},
                {"key": "locale", "value": "en-GB"},
                {"key": "calendar", "value": "office"},
                {"key": "contact_fields", "value": _CONTACT_FIELDS},
                {"key": "company_fields", "value": _COMPANY_FIELDS},
            ],
        ),
        Rows(
            "department",
            [
                _department("management", "Management", "greta", None),
                _department("sales", "Sales", "hannes", "management"),
                _department("workshop", "Workshop and fitting", "mirko", "management"),
                _department("planning", "Planning", "lena", "workshop"),
                _department("office", "Office", "rosa", "management"),
            ],
        ),
        Rows(
            "employee",
            [
                _employee("greta", "Greta Lindner", 1, "management"),
                _employee("hannes", "Hannes Vogt", 2, "sales"),
                _employee("paula", "Paula Reiter", 3, "sales", calendar="mornings"),
                _employee("jonas", "Jonas Falk", 4, "sales"),
                _employee("mirko", "Mirko Babić", 5, "workshop"),
                _employee("tomas", "Tomáš Dvořák", 6, "workshop"),
                _employee("lena", "Lena Sommer", 7, "planning"),
                _employee("rosa", "Rosa Conti", 8, "office", calendar="mornings"),
            ],
        ),
        Rows(
            "absence",
            [
                _absence("jonas", at - timedelta(days=2), 6, "holiday"),
                _absence("lena", at + timedelta(days=12), 5, "training"),
                _absence("tomas", at - timedelta(days=1), 3, "ill"),
            ],
        ),
    ]


def pipelines() -> list[Rows]:
    """Two pipelines of deals, one of leads, with their stages and fields."""
    pipelines = [
        _pipeline("leads", "lead", "Enquiries", 0, _LEAD_FIELDS),
        _pipeline("sales", "deal", "Sales", 1, _DEAL_FIELDS),
        _pipeline("delivery", "deal", "Delivery", 2, _DEAL_FIELDS),
    ]
    stages: list[dict[str, object]] = [
        {"pipeline_id": pipeline, "id": stage, "title": title, "position": place, "meaning": meaning}
        for pipeline, listed in _STAGES.items()
        for place, (stage, title, meaning) in enumerate(listed)
    ]
    return [Rows("pipeline", pipelines), Rows("stage", stages)]


_STAGES: Final = {
    "leads": [
        ("new", "New", "process"),
        ("qualified", "Qualified", "process"),
        ("converted", "Converted", "success"),
        ("junk", "Junk", "failure"),
    ],
    "sales": [
        ("new", "New", "process"),
        ("contacted", "Contacted", "process"),
        ("offer", "Offer sent", "process"),
        ("negotiation", "Negotiation", "process"),
        ("won", "Won", "success"),
        ("lost", "Lost", "failure"),
    ],
    "delivery": [
        ("planning", "Planning", "process"),
        ("production", "Production", "process"),
        ("installation", "Installation", "process"),
        ("done", "Done", "success"),
        ("failed", "Failed", "failure"),
    ],
}
_CONTACT_FIELDS: Final = [{"name": "customer_since", "type": "date"}]
_COMPANY_FIELDS: Final = [{"name": "standing", "type": "choice", "choices": ["prospect", "customer"]}]
_LEAD_FIELDS: Final[list[dict[str, object]]] = [
    {"name": "call_back_at", "type": "datetime"},
    {"name": "measure_on", "type": "date"},
]
_DEAL_FIELDS: Final[list[dict[str, object]]] = [
    {"name": "wood", "type": "choice", "choices": ["oak", "ash", "beech", "larch"]},
    {"name": "measure_on", "type": "date"},
    {"name": "call_back_at", "type": "datetime"},
    {"name": "offer_at", "type": "datetime"},
    {"name": "offer_due_at", "type": "datetime"},
    {"name": "answer_by", "type": "datetime"},
    {"name": "decision_by", "type": "datetime"},
    {"name": "signed", "type": "boolean"},
    {"name": "handover_at", "type": "datetime"},
    {"name": "production_at", "type": "datetime"},
    {"name": "ready_at", "type": "datetime"},
    {"name": "measuring", "type": "booking"},
    {"name": "fitting", "type": "booking", "choices": ["employee:tomas", "employee:mirko", "resource:van"]},
    {"name": "railing_later", "type": "boolean"},
    {"name": "offer_number", "type": "text"},
    {"name": "workshop_note", "type": "text"},
]


def _holidays(at: datetime) -> list[date]:
    """Those of Bavaria, for this year and the next three."""
    year = at.astimezone(ZoneInfo(ZONE)).year
    return sorted(country_holidays("DE", subdiv="BY", years=range(year, year + 4)))


def _calendar(week: dict[str, list[str]], free: list[date]) -> object:
    found = Calendar.model_validate({"zone": ZONE, "week": week, "holidays": free})
    return found.model_dump(mode="json")


def _department(name: str, title: str, head: str, parent: str | None) -> dict[str, object]:
    return {"id": name, "title": title, "head_id": head, "parent_id": parent}


def _employee(
    name: str, full: str, number: int, department: str, calendar: str | None = None
) -> dict[str, object]:
    """The number is the last part of both telephones: numbers for films, which nobody has."""
    return {
        "id": name, "name": full, "email": f"{name}@lindner-stairs.example.com",
        "phone": f"+498999998{number:03}", "mobile": f"+4917139200{number + 50}",
        "department_id": department, "calendar_id": calendar,
    }  # fmt: skip


def _absence(name: str, start: datetime, days: int, reason: str) -> dict[str, object]:
    end = start + timedelta(days=days)
    return {"employee_id": name, "starts_at": start, "ends_at": end, "reason": reason}


def _pipeline(
    name: str, record_type: str, title: str, place: int, fields: list[dict[str, object]]
) -> dict[str, object]:
    own = {"id": name, "record_type": record_type, "title": title, "position": place}
    return own | {"fields": fields, "owner_id": OWNER}
