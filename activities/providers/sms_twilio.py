"""SMS through Twilio, or whoever speaks its API (Programmable Messaging, version 2010-04-01).

Source: https://www.twilio.com/docs/messaging/api/message-resource. It knows no idempotency key, so the key
travels in the address of the delivery reports: the first of them tells whether a message without an answer
was taken.
"""

from __future__ import annotations

from typing import Annotated, NoReturn
from urllib.parse import quote, urlencode

import httpx2
from pydantic import BaseModel, Field, ValidationError

from activities.providers.exchange import Answer, Caller, refuse
from activities.providers.mail import Ambiguous
from activities.providers.sms import Sms, Taken

_SERVICE = "MG"  # a sender that is the id of a messaging service


class _Message(BaseModel):
    """What is read of a message that was made."""

    sid: Annotated[str, Field(min_length=1, max_length=200)]


class _Wrong(BaseModel):
    """What is read of a refusal. Source: https://www.twilio.com/docs/usage/twilios-response."""

    code: int | None = None
    message: str = ""


class TwilioSms:
    """One account. `reports` is the address for delivery reports; empty: none are asked for."""

    def __init__(
        self, url: str, account: str, token: str, *, reports: str = "", timeout: float = 20.0
    ) -> None:
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
        self._reports = reports
        self._caller = Caller(timeout=timeout, auth=httpx2.BasicAuth(account, token))

    async def send(self, sms: Sms) -> Taken:
        form = {"To": sms.to, "Body": sms.text}
        if sms.sender:
            form["MessagingServiceSid" if sms.sender.startswith(_SERVICE) else "From"] = sms.sender
        if self._reports:
            form["StatusCallback"] = f"{self._reports}?{urlencode({'key': sms.key})}"
        answer = await self._caller.ask("POST", self._url, form=form)
        if not 200 <= answer.status < 300:
            _refused(answer)
        try:
            return Taken(_Message.model_validate_json(answer.body or b"").sid)
        except ValidationError:
            raise Ambiguous("the provider was given it, and its answer is none") from None

    async def find(self, key: str) -> Taken | None:
        """It cannot be asked by key."""
        del key
        return None

    async def close(self) -> None:
        await self._caller.close()


def _refused(answer: Answer) -> NoReturn:
    try:
        wrong = _Wrong.model_validate_json(answer.body or b"")
    except ValidationError:
        wrong = _Wrong()
    refuse(answer, f"{wrong.message} ({wrong.code})" if wrong.code else wrong.message)
    raise AssertionError("unreachable")
