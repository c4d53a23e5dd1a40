"""What an installation sets for all acts."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, Self

from activities.act import CONSOLE, NOBODY, MailIdentity, SmsIdentity
from activities.providers.documents import Documents
from db.settings import Settings


class House(NamedTuple):
    """What an installation sets: how late still counts as on time, the spread of due times in seconds."""

    punctual: timedelta = timedelta(seconds=1)
    jitter: int = 0
    mail: MailIdentity = NOBODY
    sms: SmsIdentity = CONSOLE
    documents: Documents | None = None

    @classmethod
    def of(cls, chosen: Settings) -> Self:
        """As the settings say."""
        servers = tuple(name.strip().lower() for name in chosen.mail_authserv_ids.split(",") if name.strip())
        mail = MailIdentity(
            chosen.mail_domain, chosen.mail_from, chosen.base_url, chosen.reply_secret, chosen.phone_region,
            servers,
        )  # fmt: skip
        sms = SmsIdentity(chosen.sms_provider or "console", chosen.sms_providers, chosen.sms_sender)
        return cls(timedelta(seconds=chosen.punctual_seconds), chosen.jitter_seconds, mail, sms)
