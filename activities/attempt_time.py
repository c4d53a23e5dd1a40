"""The one clock of acts."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity


def now() -> datetime:
    """When this attempt of an activity was scheduled (UTC), which is virtual where time is."""
    return activity.info().current_attempt_scheduled_time
