-- Which writes leave a mark for the clock.

create trigger clock_made after insert on record for each row execute function clock_record_made();
create trigger clock_changed after update on record for each row when (
    (old.pipeline_id, old.stage_id, old.visit_no, old.entered_at, old.journey_visit < old.visit_no)
      <> (new.pipeline_id, new.stage_id, new.visit_no, new.entered_at, new.journey_visit < new.visit_no)
    or old.fields is distinct from new.fields
    or (old.responsible_id, old.contact_id, old.company_id, old.deleted_at)
      is distinct from (new.responsible_id, new.contact_id, new.company_id, new.deleted_at)
  ) execute function clock_record_changed();

create trigger clock_ended after update on todo for each row
  when (old.completed_at is distinct from new.completed_at) execute function clock_work_changed();
create trigger clock_made after insert or delete on todo for each row execute function clock_work_changed();
create trigger clock_ended after update on task for each row
  when (old.ended_at is distinct from new.ended_at) execute function clock_work_changed();
create trigger clock_made after insert or delete on task for each row execute function clock_work_changed();
create trigger clock_ended after update on meeting for each row
  when (old.ended_at is distinct from new.ended_at) execute function clock_work_changed();
create trigger clock_made after insert or delete on meeting for each row execute function clock_work_changed();
create trigger clock_ended after update on hold for each row
  when (new.kind = 'wait' and old.ended_at is distinct from new.ended_at) execute function clock_work_changed();
create trigger clock_made after insert on hold for each row
  when (new.kind = 'wait') execute function clock_work_changed();
create trigger clock_gone after delete on hold for each row
  when (old.kind = 'wait') execute function clock_work_changed();

create trigger clock_changed after update on contact for each row
  when (old.fields is distinct from new.fields or old.birthday is distinct from new.birthday)
  execute function clock_contact_changed();
create trigger clock_changed after update on company for each row
  when (old.fields is distinct from new.fields) execute function clock_company_changed();

create trigger clock_changed after insert or update or delete on calendar
  for each statement execute function clock_calendar_changed();
create trigger clock_changed after insert or update or delete on absence
  for each row execute function clock_absence_changed();
create trigger clock_changed after update on employee for each row
  when ((old.zone, old.calendar_id) is distinct from (new.zone, new.calendar_id))
  execute function clock_employee_changed();
create trigger clock_changed after update on pipeline for each row
  when ((old.zone, old.calendar_id, old.fields) is distinct from (new.zone, new.calendar_id, new.fields))
  execute function clock_pipeline_changed();
create trigger clock_changed after update on stage for each row
  when (old.meaning <> new.meaning) execute function clock_stage_changed();
create trigger clock_made after insert on setting for each row
  when (new.key in ('zone', 'calendar', 'contact_fields', 'company_fields'))
  execute function clock_setting_changed();
create trigger clock_changed after update on setting for each row
  when (new.key in ('zone', 'calendar', 'contact_fields', 'company_fields'))
  execute function clock_setting_changed();
create trigger clock_published after insert on rule_set
  for each row execute function clock_rules_published();
