"""The contact a lead speaks of: known already, or made of what the lead says."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities.act import Act
from db.client_edits import Cause, Changes, make_client
from db.clients import hold_addresses, oldest
from domain import addresses
from domain.errors import Refused

LinkBy = Literal["phone", "email"]


class Person(NamedTuple):
    """Who a contact is to be. `left_out` are texts that can be no e-mail address or phone number."""

    first_name: str = ""
    last_name: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    responsible: str | None = None


class Found(NamedTuple):
    """A contact, and whether it was made just now."""

    id: int
    created: bool


def person(
    act: Act, *, first_name: str, last_name: str, emails: Iterable[str], phones: Iterable[str],
    responsible: str | None,
) -> Person:  # fmt: skip
    """A person with normalised addresses; what can be none is left out, so that a slip costs no contact."""
    readable: dict[str, list[str]] = {"email": [], "phone": []}
    left_out: list[str] = []
    for kind, written in (("email", emails), ("phone", phones)):
        for one in written:
            try:
                kept = addresses.email(one) if kind == "email" else addresses.phone(one, act.mail.region)
                readable[kind].append(kept)
            except ValueError:
                left_out.append(one)
    return Person(
        first_name.strip(), last_name.strip(), tuple(dict.fromkeys(readable["email"])),
        tuple(dict.fromkeys(readable["phone"])), tuple(left_out), responsible,
    )  # fmt: skip


def of_record(act: Act, responsible: str | None) -> Person:
    """The person the record is about, by its own fields."""
    values = act.values
    return person(
        act,
        first_name=str(values["record.first_name"] or ""),
        last_name=str(values["record.last_name"] or ""),
        emails=_texts(act.record.fields.get("email")),  # as written: what is none is named
        phones=_texts(values["record.phone"]),
        responsible=responsible,
    )


async def find_or_make(act: Act, who: Person, link_by: Collection[LinkBy] = ("phone", "email")) -> Found:
    """The contact with one of the person's addresses, of several the oldest; else a new one.

    Two records at once with the same address get the same contact. Raises `Refused` (`no_contact_data`) for
    somebody without name, e-mail and phone.
    """
    if not (who.first_name or who.last_name or who.emails or who.phones):
        raise Refused("no_contact_data", "neither a name nor an e-mail address nor a phone number is known")
    emails, phones = who.emails if "email" in link_by else (), who.phones if "phone" in link_by else ()
    if emails or phones:
        await hold_addresses(act.tx, [*who.emails, *who.phones])
        known = await oldest(act.tx, "contact", emails=emails, phones=phones)
        if known is not None:
            return Found(known, created=False)
    fields: dict[str, object] = {
        "first_name": who.first_name, "last_name": who.last_name, "email": list(who.emails),
        "phone": list(who.phones), "responsible": who.responsible,
    }  # fmt: skip
    cause = Cause(act.record.id, act.visit_no)
    made = await make_client(act.tx, act.ids, "contact", Changes(fields), act.by, act.mail.region, cause)
    return Found(made.id, created=True)


async def mark_repeat(act: Act) -> tuple[str, ...]:
    """The record is a repeat one from now on; answers what changed, by reference."""
    record = act.record
    if record.repeat:
        return ()
    record.repeat, record.version = True, record.version + 1
    said = {"id": record.id, "visit_no": record.visit_no, "rule": act.rule.id, "at": act.now}
    await act.tx.execute(_REPEAT, said | {"actor": act.author})
    return ("record.repeat",)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


_REPEAT = text("""
with r as (update record set repeat = true, version = version + 1 where id = :id)
insert into journal (record_id, visit_no, rule, event, at, actor, detail)
values (:id, :visit_no, :rule, 'edited', :at, :actor, '{"repeat": [false, true]}')
""").bindparams(bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True)))
