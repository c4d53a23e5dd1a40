"""What the columns of all tables have in common.

Instants are `timestamptz` in UTC; a naive datetime is refused when it is bound. Every default is the
database's too, so that a statement written by hand may leave a column out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, TextClause, text
from sqlmodel import SQLModel

# the server's own names, so that a constraint is called the same however it was made
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Default = Mapping[str, TextClause]
BLANK: Final[Default] = {"server_default": text("''")}
LIST: Final[Default] = {"server_default": text("'[]'::jsonb")}
OBJECT: Final[Default] = {"server_default": text("'{}'::jsonb")}
ZERO: Final[Default] = {"server_default": text("0")}
ONE: Final[Default] = {"server_default": text("1")}
NO: Final[Default] = {"server_default": text("false")}
YES: Final[Default] = {"server_default": text("true")}


def identity() -> Column[int]:
    """A number the database gives; an import may bring its own."""
    return Column(BigInteger, Identity(), primary_key=True)


def one_of(column: str, *values: str) -> CheckConstraint:
    """The column holds one of these words."""
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({words})", name=column)
