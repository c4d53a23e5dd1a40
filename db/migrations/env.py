"""Alembic's entry: runs on the connection `db.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

import db.tables  # noqa: F401 - fills the metadata that autogenerate compares with

LOCK = 0x4A414C4F4E  # "JALON": one migration at a time, however many processes start together


def _run(connection: Connection) -> None:
    connection.execute(text(f"select pg_advisory_xact_lock({LOCK})"))
    context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
