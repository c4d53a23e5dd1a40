"""Handing SMS over: what a provider is asked, and what it can answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Sms(NamedTuple):
    """One SMS as it is handed over. `to` is a number after E.164.

    `key` is the same for all attempts: the provider's idempotency key where it knows such. `sender` is a
    number or a name; empty: the provider's own, if it has one.
    """

    key: str
    sender: str
    to: str
    text: str


class Taken(NamedTuple):
    """The provider has it, under a number of its own."""

    provider_id: str


class SmsProvider(Protocol):
    """A way to send SMS; one object a process, safe to use from several tasks."""

    async def send(self, sms: Sms) -> Taken:
        """Hand it over, once. Raises `NotSent` or `Ambiguous` of `activities.providers.mail`."""
        ...

    async def find(self, key: str) -> Taken | None:
        """The message with that key; None if the provider knows none, or cannot be asked. Raises nothing."""
        ...

    async def close(self) -> None:
        """Give back what is held open."""
        ...
