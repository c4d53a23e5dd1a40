"""What SMS providers report of messages they were given."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from db.tables.columns import BLANK, one_of


class SmsReport(SQLModel, table=True):
    """A delivery report that came before its message was known to be the provider's.

    It waits for the transaction that writes the provider's number of the message down, which takes it over
    and deletes it. `at` is when it was heard.
    """

    __tablename__ = "sms_report"
    __table_args__ = (one_of("delivery", "queued", "sent", "failed", "delivered"),)

    provider: str = Field(primary_key=True)
    provider_id: str = Field(primary_key=True)
    delivery: str
    error: str = Field(default="", sa_column_kwargs=BLANK)
    at: datetime
