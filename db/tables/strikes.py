"""What stands against acts that have not come to an end."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, ZERO


class Strike(SQLModel, table=True):
    """An act that was begun and came to no outcome: how often a worker died in it, how often it raised.

    `n` is the act's, -1 the planning of its step; an empty rule stands for the journey as a whole. The row
    goes when the act has an outcome.
    """

    record_id: int = Field(sa_type=BigInteger, primary_key=True, foreign_key="record.id", ondelete="CASCADE")
    visit_no: int = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    n: int = Field(default=0, primary_key=True, sa_column_kwargs=ZERO)
    deaths: int = Field(default=0, sa_column_kwargs=ZERO)
    faults: int = Field(default=0, sa_column_kwargs=ZERO)
    error: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime
