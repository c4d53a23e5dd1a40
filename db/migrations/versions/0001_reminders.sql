-- The reminders of a meeting follow it, whoever writes it.

create trigger reminders_made after insert on meeting for each row execute function plan_reminders();
create trigger reminders_moved after update on meeting for each row
  when ((old.starts_at, old.state, old.reminders) is distinct from (new.starts_at, new.state, new.reminders))
  execute function plan_reminders();
