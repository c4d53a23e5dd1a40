"""All tables; importing this fills `SQLModel.metadata`."""

from db.tables.bin import Binned
from db.tables.bookings import Booking, BookingResource, Resource
from db.tables.clients import ClientChange
from db.tables.clock import ClockChanged, ClockDue, ClockSweep, ClockTrigger
from db.tables.documents import Document, DocumentTemplate, NumberSeries, StampImage
from db.tables.effects import Code, Comment, HistoryLine, Notification, Todo
from db.tables.feed import FeedComment, FeedPost
from db.tables.healing import Healing, Watch
from db.tables.inbound import ExceptionEntry, InboundMail, Quarantined
from db.tables.meetings import CalendarFeed, Invitation, Meeting, MeetingReminder
from db.tables.messages import Message
from db.tables.people import Absence, Calendar, Company, Contact, Department, Employee, Setting
from db.tables.records import ClientActivity, Outbox, Record, Request, Visit
from db.tables.rules import Pipeline, Rotation, RuleSet, Stage, Suspension
from db.tables.sales import ProductLine, SalesDocument
from db.tables.sms import SmsReport
from db.tables.strikes import Strike
from db.tables.tasks import Task, TaskItem, TaskLine
from db.tables.work import Firing, HeardEvent, Hold, Journal, Ledger

__all__ = [
    "Absence",
    "Binned",
    "Booking",
    "BookingResource",
    "Calendar",
    "CalendarFeed",
    "ClientActivity",
    "ClientChange",
    "ClockChanged",
    "ClockDue",
    "ClockSweep",
    "ClockTrigger",
    "Code",
    "Comment",
    "Company",
    "Contact",
    "Department",
    "Document",
    "DocumentTemplate",
    "Employee",
    "ExceptionEntry",
    "FeedComment",
    "FeedPost",
    "Firing",
    "Healing",
    "HeardEvent",
    "HistoryLine",
    "Hold",
    "InboundMail",
    "Invitation",
    "Journal",
    "Ledger",
    "Meeting",
    "MeetingReminder",
    "Message",
    "Notification",
    "NumberSeries",
    "Outbox",
    "Pipeline",
    "ProductLine",
    "Quarantined",
    "Record",
    "Request",
    "Resource",
    "Rotation",
    "RuleSet",
    "SalesDocument",
    "Setting",
    "SmsReport",
    "Stage",
    "StampImage",
    "Strike",
    "Suspension",
    "Task",
    "TaskItem",
    "TaskLine",
    "Todo",
    "Visit",
    "Watch",
]
