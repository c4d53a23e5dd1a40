"""Everything an installation may set, as environment variables with the prefix JALON_.

Nothing is read at import: a process calls `Settings()` once, at its edge, and hands it down.
"""

import os
from base64 import b64decode
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DRIVER = "postgresql+asyncpg://"


def default_home() -> Path:
    """Where one machine keeps its data: /var/lib for root, else the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/jalon")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jalon"


class Settings(BaseSettings):
    """The settings of one process.

    Raises `pydantic.ValidationError` for a value that does not fit.
    """

    model_config = SettingsConfigDict(env_prefix="JALON_", extra="ignore", frozen=True)

    database_url: str = ""
    """Of PostgreSQL, `postgresql://user:password@host:port/database`; empty: the embedded one."""
    temporal_address: str = ""
    """`host:port` of Temporal; empty: the embedded development server."""
    temporal_namespace: str = "default"
    task_queue: str = "jalon"
    """Of the journeys; what is slow (mail, SMS, documents) runs on a queue of its own beside it."""
    max_cached_workflows: int = Field(default=1000, ge=0)
    """Journeys one worker keeps in memory, 0.25 MB each; another is replayed when something happens to it."""

    home: Path = Field(default_factory=default_home)
    """Data of the embedded servers, the generated API key, logs."""
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    temporal_port: int = Field(default=7233, ge=1, le=65535)
    temporal_ui_port: int = Field(default=8233, ge=1, le=65535)
    temporal_ui_hosts: list[str] = []
    """Names, beside this machine's own, under which browsers may call the embedded Temporal's Web UI."""
    api_key: SecretStr = SecretStr("")
    """What API clients must present. `jalon up` makes one and keeps it in home/api-key."""
    base_url: str = ""
    """Under which people and clients reach the API; empty: made of host and port."""

    smtp_host: str = ""
    """Empty: mails are not sent but written to the log."""
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_starttls: bool = False
    mail_domain: str = "jalon.localhost"
    """The right-hand side of Message-IDs; must stay the same for an installation."""
    mail_from: str = ""
    """The sender's address; empty: jalon@<mail_domain>."""
    mail_in_host: str = "127.0.0.1"
    mail_in_port: int = Field(default=0, ge=0, le=65535)
    """Where `jalon mail` takes the mail of clients (SMTP); 0: nowhere."""
    mail_authserv_ids: str = ""
    """The authserv-ids (RFC 8601) of the mail servers in front, with commas: whose `dmarc=fail` counts."""
    reply_secret: SecretStr = SecretStr("")
    """Signs Message-IDs and the addresses that records are answered at; must stay the same, and is one for
    all processes. Without it no answer is matched by what it answers. `jalon up` makes one."""
    hook_secrets: dict[str, SecretStr] = {}
    """Who may report by webhook (Standard Webhooks), as JSON: `{"email": "whsec_…", "bank": "whsec_…"}`."""

    phone_region: str = Field(default="DE", pattern=r"^[A-Z]{2}$")
    """The country (ISO 3166-1) of phone numbers that name none."""

    sms_provider: Literal["", "twilio", "gateway"] = ""
    """Through which SMS go where a rule names none; empty: they are not sent but written to the log."""
    sms_sender: str = ""
    """The number or name SMS come from where a rule says none; empty: the gateway's own (Twilio has none)."""
    sms_twilio_url: str = "https://api.twilio.com"
    sms_twilio_account: str = ""
    """The account's SID (`AC…`); empty: there is no such account."""
    sms_twilio_token: SecretStr = SecretStr("")
    """The account's auth token; it also verifies what Twilio reports."""
    sms_gateway_url: str = ""
    """Where a gateway takes SMS as JSON; empty: there is none. hook_secrets.sms verifies its reports."""
    sms_gateway_token: SecretStr = SecretStr("")

    s3_bucket: str = ""
    """Where documents are kept; empty: in home/blobs, which then all processes must share."""
    s3_endpoint: str = ""
    """Of an S3-compatible store, `https://host:port`; empty: Amazon's own."""
    s3_region: str = "us-east-1"
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_prefix: str = ""

    fonts: Path | None = None
    """A folder with fonts for PDF documents, beside Typst's own; the same for all workers."""

    jitter_seconds: int = Field(default=0, ge=0)
    """Spread of due times that many records share, in seconds."""
    punctual_seconds: float = Field(default=1.0, ge=0)
    """How late an act still counts as on time: then history shows it at its due time."""
    log_json: bool = False

    @field_validator("database_url")
    @classmethod
    def with_driver(cls, url: str) -> str:
        """Accept the plain form of the address too, as other programs write it."""
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return DRIVER + url.removeprefix(plain)
        if url and not url.startswith(DRIVER):
            raise ValueError("must begin with postgresql://")
        return url

    @property
    def sms_providers(self) -> tuple[str, ...]:
        """Those an SMS may go through: what has an account here, and the log where none is chosen."""
        own = {"twilio": self.sms_twilio_account, "gateway": self.sms_gateway_url}
        log = () if self.sms_provider else ("console",)
        return (*(name for name, account in own.items() if account), *log)

    @model_validator(mode="after")
    def sms_can_be_sent(self) -> Self:
        """The chosen provider needs an account."""
        if self.sms_provider and self.sms_provider not in self.sms_providers:
            raise ValueError(f"sms_provider is {self.sms_provider}, and nothing says how to reach it")
        return self

    @field_validator("hook_secrets")
    @classmethod
    def decodable(cls, secrets: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Refuse what is no key, before somebody's first webhook is."""
        for source, secret in secrets.items():
            written = secret.get_secret_value().removeprefix("whsec_")
            try:
                key = b64decode(written + "=" * (-len(written) % 4), validate=True)
            except ValueError:
                key = b""
            if not 24 <= len(key) <= 64:  # as Standard Webhooks has it
                raise ValueError(f"the secret of {source} is not whsec_ and 24 to 64 bytes in base64")
        return secrets

    @field_validator("fonts", mode="before")
    @classmethod
    def a_folder(cls, fonts: object) -> Path | None:
        """Refuse what is no folder, before somebody's document lacks letters."""
        if not fonts:
            return None
        folder = Path(str(fonts)).expanduser().absolute()
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder")
        return folder

    @field_validator("home")
    @classmethod
    def absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @model_validator(mode="before")
    @classmethod
    def derived(cls, given: dict[str, object]) -> dict[str, object]:
        """Fill in what follows from other settings."""
        filled = dict(given)
        if not filled.get("mail_from"):
            filled["mail_from"] = f"jalon@{filled.get('mail_domain') or 'jalon.localhost'}"
        if not filled.get("base_url"):
            host, port = filled.get("api_host") or "127.0.0.1", filled.get("api_port") or 8000
            filled["base_url"] = f"http://{host}:{port}"
        return filled
