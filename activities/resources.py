"""What can be booked, and who may do so now.

Written are `responsible`, `employee:<id>`, `resource:<id>`. They are resolved when the booking is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import ARRAY, BigInteger, String, bindparam, text

from activities.effect import Setting
from activities.unknown import unknown
from db.engine import Transaction
from db.locked import Locked
from domain.errors import Refused
from domain.fields import Field, Problem


class OutOfTurn(Exception):
    """Others have a resource, and to wait for it could be to wait for one another: try the whole again."""


def meant(locked: Locked, written: Sequence[str]) -> list[str]:
    """The resources, each once, in the order written. Raises `Refused` where `responsible` is nobody."""
    responsible = locked.record.responsible_id
    if "responsible" in written and responsible is None:
        raise Refused("wrong_resource", "the record has no responsible")
    return list(dict.fromkeys(f"employee:{responsible}" if w == "responsible" else w for w in written))


def booking_field(locked: Locked, name: str) -> Field:
    """The booking field of that name. Raises `Refused` where the record has none."""
    field = locked.registry.record.get(name)
    if field is None or field.type != "booking":
        raise Refused("unknown_field", f"record.{name} is no booking field")
    return field


async def take_turns(tx: Transaction, resources: Sequence[str]) -> None:
    """Have these resources to oneself until the transaction ends; others who want one wait.

    Everybody who books or cancels asks here first, for all resources at once, and those are taken in one
    order: nobody waits in a circle. A transaction that has had turns before waits only for what comes after
    these in that order. Raises `OutOfTurn` where another resource is not free at once.
    """
    highest = _HIGHEST.get(tx)
    turns = (await tx.execute(_TURNS, {"resources": list(resources), "highest": highest})).all()
    if not all(turn.had for turn in turns):
        raise OutOfTurn
    _HIGHEST[tx] = max([*(turn.key for turn in turns), *([] if highest is None else [highest])])


# -- what is known when a rule is saved --------------------------------------------------------------
def field_problems(name: str, setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with the name of a booking field."""
    known = [field.name for field in setting.registry.record.values() if field.type == "booking"]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        there = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none'}"
        yield Problem(place=place, message=f"record.{name} is no booking field; {there}")


def problems(written: Sequence[str], field: Field | None, setting: Setting, place: str) -> Iterator[Problem]:
    """What is wrong with resources as written, for a booking field if it is known."""
    known: Mapping[str, frozenset[str]] = {"employee": setting.employees, "resource": setting.resources}
    for number, word in enumerate(written):
        section, _, name = word.partition(":")
        wrong = ""
        if word == "responsible":
            continue
        if section not in known:
            wrong = f"{word!r} cannot be booked: responsible, employee:<id>, resource:<id>"
        elif name not in known[section]:
            wrong = unknown(section, name, sorted(known[section]), setting.former)
        elif field and field.choices and word not in field.choices:
            wrong = f"record.{field.name} allows {', '.join(field.choices)}"
        if wrong:
            yield Problem(place=f"{place}/{number}", message=wrong)


_HIGHEST: Final[WeakKeyDictionary[Transaction, int]] = WeakKeyDictionary()
"""The last turn each transaction under way has had."""
_TURNS = text("""
select key, case when :highest is null or key > :highest then pg_advisory_xact_lock(key)::text = ''
  else pg_try_advisory_xact_lock(key) end as had
from (
  select distinct hashtextextended(resource, 0) as key from unnest(:resources) resource
  order by 1 offset 0) ordered
""").bindparams(bindparam("resources", type_=ARRAY(String)), bindparam("highest", type_=BigInteger))
