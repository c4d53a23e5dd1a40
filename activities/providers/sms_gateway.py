"""SMS through a gateway that speaks plain JSON over HTTP.

    POST <url>            Idempotency-Key: <key>
    {"to": "+49170…", "from": "Firm", "text": "…", "key": "<key>", "reports": "<address>"}
    → 2xx {"id": "…"}     the same key a second time: the same answer, and no second SMS
    GET <url>?key=<key>   → 200 {"id": "…"}, or 404

Refusals are 4xx with {"error": "…"}, 429 and 503 with Retry-After. Delivery reports and replies come signed
after Standard Webhooks, see `api/routes/sms_hooks.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from activities.providers.exchange import Answer, Caller, refuse
from activities.providers.mail import Ambiguous, NotSent
from activities.providers.sms import Sms, Taken


class _Message(BaseModel):
    """What is read of a message that the gateway has."""

    id: Annotated[str, Field(min_length=1, max_length=200)]


class _Wrong(BaseModel):
    """What is read of a refusal."""

    error: str = ""


class GatewaySms:
    """One gateway. `token` is presented as a bearer's; `reports` is the address for delivery reports."""

    def __init__(self, url: str, token: str = "", *, reports: str = "", timeout: float = 20.0) -> None:
        self._url, self._reports = url, reports
        self._caller = Caller(timeout=timeout, token=token)

    async def send(self, sms: Sms) -> Taken:
        body = {"to": sms.to, "from": sms.sender, "text": sms.text, "key": sms.key, "reports": self._reports}
        answer = await self._caller.ask("POST", self._url, json=body, headers={"Idempotency-Key": sms.key})
        if not 200 <= answer.status < 300:
            refuse(answer, _error(answer))
        try:
            return Taken(_Message.model_validate_json(answer.body or b"").id)
        except ValidationError:
            raise Ambiguous("the provider was given it, and its answer is none") from None

    async def find(self, key: str) -> Taken | None:
        try:
            answer = await self._caller.ask("GET", self._url, params={"key": key})
            if answer.status != 200:
                return None
            return Taken(_Message.model_validate_json(answer.body or b"").id)
        except (NotSent, Ambiguous, ValidationError):
            return None

    async def close(self) -> None:
        await self._caller.close()


def _error(answer: Answer) -> str:
    try:
        return _Wrong.model_validate_json(answer.body or b"").error
    except ValidationError:
        return ""
