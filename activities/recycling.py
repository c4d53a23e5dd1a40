"""Into the recycle bin and out of it, with all that is booked, planned and to be done for a record.

Nobody is to come to a meeting of a deal that is no more: what is booked is released, who was invited is told,
to-dos and tasks are closed. A restore gives back what was taken along: bookings where the resources are still
free, to-dos, tasks and deleted clients. Meetings stay cancelled, since their guests have been told so.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, DateTime, bindparam, text

from activities import bookings
from activities.act import MailIdentity
from activities.meetings import cancel_meeting
from activities.rebooking import take_again
from activities.resources import take_turns
from db import records
from db.edits import Link, edit
from db.locked import Locked
from db.outbox import Bell
from db.records import By


async def delete(locked: Locked, by: By, mail: MailIdentity) -> Bell | None:
    """Put the record into the bin, and release what it holds of the world. None if it is there already."""
    bell = await records.delete(locked, by)
    if bell is None:
        return None
    own = {"id": locked.record.id, "at": by.at}
    for meeting in (await locked.tx.execute(_MEETINGS, own)).scalars().all():
        await cancel_meeting(locked, meeting, by, mail)
    booked = (await locked.tx.execute(_BOOKED, own)).all()
    if booked:
        await take_turns(locked.tx, sorted({resource for row in booked for resource in row.resources}))
        for field in dict.fromkeys(row.field for row in booked):
            await bookings.cancel(locked, field, by)
    said = own | {"who": by.who, "visit_no": locked.record.visit_no}
    await locked.tx.execute(_CLOSE, said | {"bookings": [row.id for row in booked]})
    return bell


async def restore(locked: Locked, by: By) -> Bell | None:
    """Take the record out of the bin, with what was taken along. None if it is not in it."""
    bell = await records.restore(locked, by)
    if bell is None:
        return None
    asked = {"id": locked.record.id, "at": by.at, "who": by.who, "visit_no": locked.record.visit_no}
    taken = (await locked.tx.execute(_OUT_OF_BIN, asked)).all()
    clients: dict[Link, int | None] = {}
    for link in ("company", "contact"):  # a contact refers to its company
        for row in (one for one in taken if one.kind == link):
            await locked.tx.execute(_BACK[link], {"content": row.content})
            clients[link] = row.item_id
    free = {link: client for link, client in clients.items() if not _client_of(locked, link)}
    if free:
        await edit(locked, {}, by, links=free)
    await take_again(locked, [row.item_id for row in taken if row.kind == "booking"], by)
    return bell


async def keep_client(locked: Locked, link: Link, client: int, by: By) -> None:
    """Delete a contact or a company; a restore of the record gives it back."""
    await locked.tx.execute(_BIN[link], {"id": client, "record": locked.record.id, "at": by.at})


def _client_of(locked: Locked, link: Link) -> int | None:
    return locked.record.contact_id if link == "contact" else locked.record.company_id


_ID, _AT = bindparam("id", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True))
_MEETINGS = text("""
select id from meeting where record_id = :id and state = 'planned' and ends_at > :at order by id
""").bindparams(_ID, _AT)
_BOOKED = text("""
select b.id, b.field, array(select r.resource from booking_resource r where r.booking_id = b.id) as resources
from booking b where b.record_id = :id and b.state = 'active' and b.ends_at > :at order by b.id
""").bindparams(_ID, _AT)
_CLOSE = text("""
with todos as (
  update todo set completed_at = :at, completed_by = :who where record_id = :id and completed_at is null
  returning id
), tasks as (
  update task set ended_how = 'deleted', ended_at = :at, ended_by = :who
  where record_id = :id and ended_how = '' returning id
), history as (
  insert into task_line (task_id, at, actor, event, detail)
  select id, :at, :who, 'deleted', '{"with": "record"}' from tasks
), closed as (
  select 'todo' as kind, id from todos union all select 'task', id from tasks
  union all select 'booking', unnest(cast(:bookings as bigint[]))
), said as (
  insert into journal (record_id, visit_no, event, at, actor, detail)
  select :id, :visit_no, 'closed_with_record', :at, :who, jsonb_object_agg(kind || 's', ids)
  from (select kind, jsonb_agg(id order by id) as ids from closed group by kind) k
  having count(*) > 0
)
insert into binned (record_id, kind, item_id, at) select :id, kind, id, :at from closed
""").bindparams(_ID, _AT)
_OUT_OF_BIN = text("""
with taken as (
  delete from binned where record_id = :id returning kind, item_id, content, id
), todos as (
  update todo set completed_at = null, completed_by = null
  where id in (select item_id from taken where kind = 'todo') returning id
), tasks as (
  update task set ended_how = '', ended_at = null, ended_by = ''
  where id in (select item_id from taken where kind = 'task') returning id
), history as (
  insert into task_line (task_id, at, actor, event, detail)
  select id, :at, :who, 'reopened', '{"with": "record"}' from tasks
), back as (
  select 'todos' as kind, id from todos union all select 'tasks', id from tasks
), said as (
  insert into journal (record_id, visit_no, event, at, actor, detail)
  select :id, :visit_no, 'reopened_with_record', :at, :who, jsonb_object_agg(kind, ids)
  from (select kind, jsonb_agg(id order by id) as ids from back group by kind) k
  having count(*) > 0
)
select kind, item_id, content::text as content from taken order by id
""").bindparams(_ID, _AT)
_BIN = {
    link: text(f"""
with gone as (
  delete from {link} where id = :id returning *
)
insert into binned (record_id, kind, item_id, content, at)
select :record, '{link}', g.id, jsonb_build_object('row', to_jsonb(g), 'changes', (
  select coalesce(jsonb_agg(c), '[]') from client_change c where c.{link}_id = g.id)), :at
from gone g
""").bindparams(_ID, bindparam("record", type_=BigInteger), _AT)  # noqa: S608  # own text
    for link in ("contact", "company")
}
_BACK = {
    link: text(f"""
with client as (
  insert into {link} overriding system value
  select * from jsonb_populate_record(null::{link}, cast(:content as jsonb) -> 'row')
)
insert into client_change overriding system value
select * from jsonb_populate_recordset(null::client_change, cast(:content as jsonb) -> 'changes')
""")  # noqa: S608  # own text
    for link in ("contact", "company")
}
