"""All tables; importing this fills `SQLModel.metadata`."""

from db.tables.effects import Code, Comment, HistoryLine, Notification, Todo
from db.tables.messages import Message
from db.tables.people import Absence, Calendar, Company, Contact, Department, Employee, Setting
from db.tables.records import ClientActivity, Outbox, Record, Request, Visit
from db.tables.rules import Pipeline, RuleSet, Stage, Suspension
from db.tables.work import Hold, Journal, Ledger

__all__ = [
    "Absence",
    "Calendar",
    "ClientActivity",
    "Code",
    "Comment",
    "Company",
    "Contact",
    "Department",
    "Employee",
    "HistoryLine",
    "Hold",
    "Journal",
    "Ledger",
    "Message",
    "Notification",
    "Outbox",
    "Pipeline",
    "Record",
    "Request",
    "RuleSet",
    "Setting",
    "Stage",
    "Suspension",
    "Todo",
    "Visit",
]
