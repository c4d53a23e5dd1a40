"""E-mail for development: a line in the log instead of a message."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser

import structlog

from activities.providers.mail import Delivery, Letter

_SHOWN = 200  # characters of the text


class ConsoleMail:
    """Writes who would get what; everybody takes it."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("mail")

    async def send(self, letter: Letter) -> Delivery:
        message = BytesParser(_class=EmailMessage, policy=email.policy.SMTP).parsebytes(letter.content)
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body else ""
        self._log.info(
            "mail", to=", ".join(letter.recipients), subject=str(message["Subject"] or ""), text=text[:_SHOWN]
        )
        return Delivery(letter.recipients, {})

    async def close(self) -> None:
        """Nothing is held open."""
