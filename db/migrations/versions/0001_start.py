"""The first schema, with its two append-only tables."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FILES = (
    "0001_people_and_rules.sql",
    "0001_records.sql",
    "0001_clients.sql",
    "0001_bookings.sql",
    "0001_tasks.sql",
    "0001_meetings.sql",
    "0001_documents.sql",
    "0001_inbound.sql",
    "0001_sms.sql",
    "0001_sales.sql",
    "0001_feed.sql",
    "0001_clock.sql",
    "0001_bin.sql",
    "0001_healing.sql",
)
FUNCTIONS = ("0001_functions.sql", "0001_clock_functions.sql")
TRIGGERS = ("0001_clock_marks.sql", "0001_reminders.sql")
APPEND_ONLY = """
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end $$
"""


def upgrade() -> None:
    for name in FILES:
        _run(name, ";\n")
    for name in FUNCTIONS:
        _run(name, "$$;\n", ending="$$")
    for name in TRIGGERS:
        _run(name, ";\n")
    op.execute(APPEND_ONLY)
    for table in ("journal", "rule_set"):
        op.execute(
            f"create trigger append_only before update or delete or truncate on {table} "
            "for each statement execute function refuse_change()"
        )


def _run(name: str, end: str, ending: str = "") -> None:
    for statement in Path(__file__).with_name(name).read_text(encoding="utf-8").split(end):
        if statement.strip():
            op.execute(statement + ending)
