"""Why something cannot be had. Each carries the name that history shows and the status an API answers."""

from __future__ import annotations


class Refused(Exception):
    """It cannot be done, now or ever: nothing was changed.

    `reason` is a name for programs and the reason of a failed step (`wrong_stage`), `message` says it in
    plain words, `status` is what an HTTP call answers.
    """

    def __init__(self, reason: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.reason, self.message, self.status = reason, message, status


class NotNow(Refused):
    """Not at the moment, but it may pass: the step is tried again for as long as `retry_for` says."""


class Stale(Refused):
    """Somebody else changed the record, or the client, since it was read."""

    def __init__(self, expected: int, present: int, what: str = "record") -> None:
        super().__init__("stale_version", f"the {what} is at version {present}, not {expected}", 409)


class Gone(Refused):
    """The record was deleted, or there never was one."""

    def __init__(self, record_id: int) -> None:
        super().__init__("gone", f"there is no record {record_id}", 404)


class Unreadable(Exception):
    """What was published cannot be read: it was changed by other means than the product's.

    No step fails for it: its records stand still until it is repaired. `pipeline` and `number` are those of
    the rule set.
    """

    def __init__(self, pipeline: str, number: int, why: str) -> None:
        super().__init__(f"version {number} of the rules of {pipeline!r} cannot be read: {why}")
        self.pipeline, self.number = pipeline, number
