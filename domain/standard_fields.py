"""The fields that every lead or deal, its client and its responsible have."""

from __future__ import annotations

from domain.fields import CURRENCY, LONGEST_ADDRESS, LONGEST_NAME, LONGEST_TITLE, Field, RecordType, Registry

OWN_FIELDS = ("first_name", "last_name", "company_name", "email", "phone")
"""Standard fields of a record that are kept as custom ones are; `email` and `phone` hold several values."""


def standard(record_type: RecordType) -> Registry:
    """The fields every lead or deal has; the same for both, a lead's `stage` being its status.

    `OWN_FIELDS` say whom a record is about before it has a contact or a company.
    """
    del record_type
    name = Field(name="name", type="text", required=True, longest=LONGEST_NAME)
    e_mail = Field(name="email", type="email", multiple=True)
    phone = Field(name="phone", type="text", multiple=True)
    return Registry(
        record=_by_name(
            Field(name="title", type="text", required=True, longest=LONGEST_TITLE),
            Field(name="amount", type="money"), Field(name="currency", type="text", pattern=CURRENCY),
            *map(_named, ("source", "first_name", "last_name", "company_name")),
            e_mail, phone, Field(name="repeat", type="boolean", writable=False),
            Field(name="responsible", type="employee"), Field(name="stage", type="text"),
            Field(name="pipeline", type="text", writable=False),
            Field(name="created_at", type="datetime", writable=False),
            Field(name="entered_at", type="datetime", writable=False)),
        contact=_by_name(
            _named("first_name"), _named("last_name"), e_mail, phone,
            Field(name="birthday", type="date"), Field(name="responsible", type="employee")),
        company=_by_name(name, e_mail, phone, Field(name="address", type="text", longest=LONGEST_ADDRESS)),
        responsible=_by_name(
            *(Field(name=own, type="text", writable=False) for own in ("name", "email", "phone", "mobile"))),
    )


def _named(name: str) -> Field:
    return Field(name=name, type="text", longest=LONGEST_NAME)


def _by_name(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}
