"""Everything an installation may set, as environment variables with the prefix JALON_.

Nothing is read at import: a process calls `Settings()` once, at its edge, and hands it down.
"""

import os
from pathlib import Path

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
