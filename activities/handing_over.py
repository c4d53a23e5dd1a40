"""Messages handed over with no transaction open: what comes of each of one attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from activities.fault_log import stack_of
from activities.messages import Message
from activities.providers.mail import Ambiguous, Delivery, Mail, NotSent
from activities.providers.sms import SmsProvider, Taken

log = structlog.get_logger()

Came = Delivery | Taken | NotSent | Ambiguous
"""What came of handing a message over."""
BROKE_OFF: Final = "an earlier attempt broke off; the message may have arrived"
_AT_ONCE: Final = 8  # SMS of one act on their way to a provider
_BEGINS_WITHIN: Final = 90.0  # seconds; the activity has three minutes


async def hand_over(
    messages: Sequence[Message], mail: Mail, sms: Mapping[str, SmsProvider], again: Mapping[str, bool]
) -> dict[str, Came]:
    """What came of each, by its id. `again`: those an earlier attempt may have brought through, and whether
    they may be sent once more.

    Several SMS go side by side. Once a provider has asked for patience, no further ones are begun.
    """
    came: dict[str, Came] = {}
    room, clock = asyncio.Semaphore(_AT_ONCE), asyncio.get_running_loop().time
    until = clock() + _BEGINS_WITHIN

    async def one(message: Message) -> None:
        async with room:
            halt = next((c for c in came.values() if isinstance(c, NotSent) and c.after is not None), None)
            if clock() > until:
                halt = NotSent("the provider is too slow for so many", temporary=True)
            came[message.message_id] = await _one(message, mail, sms, again.get(message.message_id), halt)

    async with asyncio.TaskGroup() as group:
        for message in messages:
            group.create_task(one(message))
    return came


async def _one(
    message: Message, mail: Mail, sms: Mapping[str, SmsProvider], again: bool | None, halt: NotSent | None
) -> Came:
    if not message.left:
        return Delivery((), {})
    if message.channel == "sms":
        return await _text(message, sms.get(message.provider), again, halt)
    try:
        return await mail.send(message.letter)
    except (NotSent, Ambiguous) as mishap:
        return mishap
    except Exception as fault:  # noqa: BLE001 - nobody knows how far it came, whatever it is
        return _broken(message, fault)


async def _text(
    message: Message, provider: SmsProvider | None, again: bool | None, halt: NotSent | None
) -> Came:
    """Whoever has an id of the provider was taken; else the provider is asked before anything is doubtful."""
    if message.provider_id:
        return Taken(message.provider_id)
    if provider and again is not None and (found := await provider.find(message.message_id)):
        return found
    if again is False:
        return Ambiguous(BROKE_OFF)
    if provider is None:
        return NotSent(f"there is no SMS provider {message.provider!r} any more", temporary=False)
    if halt:
        return halt
    try:
        return await provider.send(message.sms)
    except NotSent as refused:
        return refused
    except Ambiguous as lost:
        return await provider.find(message.message_id) or lost
    except Exception as fault:  # noqa: BLE001 - nobody knows how far it came, whatever it is
        return _broken(message, fault)


def _broken(message: Message, fault: Exception) -> Ambiguous:
    log.error("handing a message over broke off", message=message.message_id, stack=stack_of(fault))
    return Ambiguous(f"handing it over broke off: {type(fault).__name__}")
