"""Handing e-mail over: the one method a transport has, and what it can answer."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, Protocol


class Letter(NamedTuple):
    """One message as it is handed over. `recipients` are those of the envelope, `content` is RFC 5322."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Reply(NamedTuple):
    """How a server refused: the code of RFC 5321 and its words."""

    code: int
    text: str

    @property
    def temporary(self) -> bool:
        """Whether the same may pass later."""
        return self.code // 100 == 4


class Delivery(NamedTuple):
    """What became of a letter: who took it, and who was refused and how."""

    accepted: tuple[str, ...]
    refused: dict[str, Reply]


class NotSent(Exception):
    """Nobody was given the message, and that is certain. `temporary`: trying again may help.

    `after`: not before so much time has gone, where the other side says so.
    """

    def __init__(self, message: str, *, temporary: bool, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.message, self.temporary, self.after = message, temporary, after


class Ambiguous(Exception):
    """The message was handed over and no answer came: it may have been taken, or not."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Mail(Protocol):
    """A transport for e-mail; one object a process, safe to use from several tasks."""

    async def send(self, letter: Letter) -> Delivery:
        """Hand the letter over, once. Raises `NotSent` or `Ambiguous` where nobody took it for certain."""
        ...

    async def close(self) -> None:
        """Give back what is held open."""
        ...
