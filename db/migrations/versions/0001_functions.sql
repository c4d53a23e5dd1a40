-- Everything a decision about a record needs, with its visits, ledger and holds from one visit on.
create function record_with_surroundings(r public.record, first int) returns text stable language sql as $$
select jsonb_build_object(
  'record', to_jsonb(r) || jsonb_build_object('amount', r.amount::text),
  'pipeline', (select to_jsonb(p) from pipeline p where p.id = r.pipeline_id),
  'stages', (select coalesce(jsonb_agg(s order by s.position), '[]') from stage s
             where s.pipeline_id = r.pipeline_id),
  'rules_number', (select coalesce(max(number), 0) from rule_set where pipeline_id = r.pipeline_id),
  'contact', (select to_jsonb(c) from contact c where c.id = r.contact_id),
  'company', (select to_jsonb(c) from company c where c.id = r.company_id),
  'responsible', (select to_jsonb(e) from employee e where e.id = r.responsible_id),
  'visits', (select coalesce(jsonb_agg(v order by v.visit_no), '[]') from visit v
             where v.record_id = r.id and v.visit_no >= first),
  'ledger', (select coalesce(jsonb_agg(l), '[]') from ledger l
             where l.record_id = r.id and l.visit_no >= first),
  'holds', (select coalesce(jsonb_agg(h), '[]') from hold h where h.record_id = r.id and h.visit_no >= first),
  'suspensions', (select coalesce(jsonb_agg(s), '[]') from suspension s
                  where s.scope in ('everything', 'rule') or (s.scope = 'pipeline' and s.key = r.pipeline_id)
                     or (s.scope = 'record' and s.key = r.id::text)),
  'company_zone', (select coalesce((select value #>> '{}' from setting where key = 'zone'), 'UTC')),
  'company_locale', (select coalesce((select value #>> '{}' from setting where key = 'locale'), 'en')),
  'company_calendar', (select value #>> '{}' from setting where key = 'calendar'),
  'contact_fields', (select coalesce((select value from setting where key = 'contact_fields'), '[]')),
  'company_fields', (select coalesce((select value from setting where key = 'company_fields'), '[]'))
)::text
$$;

-- Locks the record until the transaction ends; null if there is none. What surrounds it is read by a statement
-- of its own, whose snapshot is younger than the lock; `since` null: from the present visit on.
create function take_record(wanted bigint, since int) returns text volatile language plpgsql as $$
declare
  r public.record;
begin
  select * into r from public.record where id = wanted for no key update;
  if not found then
    return null;
  end if;
  return record_with_surroundings(r, least(since, r.visit_no));
end
$$;

-- When the people of a meeting are reminded, while it is planned; what lay before the last change is past.
create function plan_reminders() returns trigger language plpgsql as $$
begin
  delete from meeting_reminder where meeting_id = new.id;
  insert into meeting_reminder (meeting_id, at)
  select distinct new.id, r.at
  from jsonb_array_elements_text(new.reminders) m,
    lateral (select new.starts_at - cast(m as integer) * interval '1 minute' as at) r
  where new.state = 'planned' and r.at > new.changed_at;
  return null;
end
$$;
