"""What the rules have in common that edit a record's contact or company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from activities.act import Act
from activities.assignments import ERRORS, Assignment, assigned
from activities.effect import Done
from db.client_bells import client_bells
from db.client_edits import Cause, Changes, edit_client
from db.clients import Client, take_client
from db.facts import ContactRow
from domain.errors import Refused

CLIENT_ERRORS: Mapping[str, str] = ERRORS | {
    "wrong_type": "a value does not fit its field, or is no e-mail address or phone number",
}


async def edit_client_of(act: Act, client: Client, items: Sequence[Assignment], *, append: bool) -> Done:
    """Set fields of the record's contact or company; its other records hear of it.

    The client is read again under its lock: another record's rule may have changed it since this one was
    read. Raises `Refused`: `no_contact` or `no_company` where the record has none, and as `edit_client`.
    """
    record = act.record
    client_id = record.contact_id if client == "contact" else record.company_id
    taken = await take_client(act.tx, client, client_id) if client_id else None
    if taken is None:
        raise Refused(f"no_{client}", f"the record has no {client}")
    if isinstance(taken.row, ContactRow):
        act.locked.around.contact = taken.row
    else:
        act.locked.around.company = taken.row
    wanted = Changes(assigned(act, client, items, act.values, append=append))
    cause = Cause(record.id, act.visit_no)
    edited = await edit_client(act.tx, taken, wanted, act.by, act.mail.region, cause)
    bells = await client_bells(
        act.tx, act.locked.book, taken.row, client, edited.changed, act.now, but=record.id
    )
    return Done({"changed": [*edited.changed]}, changed=edited.changed, bells=bells)
