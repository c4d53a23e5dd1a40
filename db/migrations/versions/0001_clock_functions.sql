-- Whoever writes a fact on which a date or an idleness depends, and be it by hand, leaves a mark in the same
-- transaction; a look of the clock computes anew what is marked. What lay before the last look is past then.
create function clock_looked_at() returns timestamptz stable language sql as $$
select cast(value #>> '{}' as timestamptz) from setting where key = 'clock_looked_at'
$$;

create function clock_record_made() returns trigger language plpgsql as $$
begin
  insert into clock_changed (record_id, since) select new.id, clock_looked_at()
  where exists (select 1 from clock_trigger t where t.pipeline_id = new.pipeline_id);
  return null;
end
$$;

create function clock_record_changed() returns trigger language plpgsql as $$
begin
  insert into clock_changed (record_id, since) select new.id, clock_looked_at()
  where exists (
    select 1 from clock_trigger t where t.pipeline_id in (old.pipeline_id, new.pipeline_id) and (
      old.pipeline_id <> new.pipeline_id or old.deleted_at is distinct from new.deleted_at
      or t.event = 'idle' and (old.visit_no, old.stage_id, old.entered_at, old.journey_visit < old.visit_no)
        <> (new.visit_no, new.stage_id, new.entered_at, new.journey_visit < new.visit_no)
      or t.event = 'date_reached' and (
        old.responsible_id is distinct from new.responsible_id
        or t.section = 'record' and old.fields -> t.field is distinct from new.fields -> t.field
        or t.section = 'record' and t.field = 'entered_at' and old.entered_at <> new.entered_at
        or t.section = 'contact' and old.contact_id is distinct from new.contact_id
        or t.section = 'company' and old.company_id is distinct from new.company_id)));
  return null;
end
$$;

-- A to-do, task, meeting or wait began or ended.
create function clock_work_changed() returns trigger language plpgsql as $$
begin
  insert into clock_changed (record_id, since) select r.id, clock_looked_at()
  from record r where r.id = coalesce(new.record_id, old.record_id)
    and exists (select 1 from clock_trigger t where t.pipeline_id = r.pipeline_id and t.event = 'idle');
  return null;
end
$$;

create function clock_contact_changed() returns trigger language plpgsql as $$
begin
  insert into clock_changed (record_id, since) select distinct r.id, clock_looked_at()
  from clock_trigger t join record r on r.pipeline_id = t.pipeline_id
  where t.section = 'contact' and r.contact_id = new.id
    and (old.fields -> t.field is distinct from new.fields -> t.field
      or t.field = 'birthday' and old.birthday is distinct from new.birthday);
  return null;
end
$$;

create function clock_company_changed() returns trigger language plpgsql as $$
begin
  insert into clock_changed (record_id, since) select distinct r.id, clock_looked_at()
  from clock_trigger t join record r on r.pipeline_id = t.pipeline_id
  where t.section = 'company' and r.company_id = new.id
    and old.fields -> t.field is distinct from new.fields -> t.field;
  return null;
end
$$;

-- Something changed by which the dates of many records are computed: they are gone through bit by bit.
create function clock_calendar_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from clock_trigger
  where definition #>> '{date,working_time}' = 'true';
  return null;
end
$$;

create function clock_absence_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, employee_id, since)
  select t.id, who.id, clock_looked_at() from clock_trigger t,
    (select old.employee_id as id union select new.employee_id) who
  where who.id is not null and t.definition #>> '{date,on_duty}' = 'true';
  return null;
end
$$;

create function clock_employee_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, employee_id, since)
  select id, new.id, clock_looked_at() from clock_trigger where event = 'date_reached';
  return null;
end
$$;

create function clock_pipeline_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from clock_trigger
  where event = 'date_reached' and pipeline_id = new.id;
  return null;
end
$$;

create function clock_stage_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from clock_trigger
  where event = 'idle' and pipeline_id = new.pipeline_id;
  return null;
end
$$;

create function clock_setting_changed() returns trigger language plpgsql as $$
begin
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from clock_trigger
  where event = 'date_reached';
  return null;
end
$$;

-- The triggers of the clock are those of the newest rules. One whose definition stays is left as it is; of one
-- that goes or changes, a sweep takes away what is planned.
create function clock_rules_published() returns trigger language plpgsql as $$
declare
  wanted jsonb := coalesce((
    select jsonb_object_agg(t ->> 'id', jsonb_strip_nulls(jsonb_build_object(
      'event', t -> 'event', 'date', t -> 'date', 'idle_for', t -> 'idle_for')))
    from jsonb_array_elements(new.triggers) t
    where t ->> 'event' in ('date_reached', 'idle') and t ->> 'active' is distinct from 'false'), '{}');
begin
  with gone as (
    delete from clock_trigger c
    where c.pipeline_id = new.pipeline_id and wanted -> c.trigger is distinct from c.definition
    returning c.id
  )
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from gone;
  with made as (
    insert into clock_trigger (pipeline_id, trigger, event, section, field, definition)
    select new.pipeline_id, w.key, w.value ->> 'event',
      coalesce(split_part(w.value #>> '{date,basis}', '.', 1), ''),
      coalesce(split_part(w.value #>> '{date,basis}', '.', 2), ''), w.value
    from jsonb_each(wanted) w
    where not exists (
      select 1 from clock_trigger c where c.pipeline_id = new.pipeline_id and c.trigger = w.key)
    returning id
  )
  insert into clock_sweep (clock_trigger_id, since) select id, clock_looked_at() from made;
  return null;
end
$$;
