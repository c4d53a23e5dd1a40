"""Whether a webhook comes from whom it says (Standard Webhooks 1.0.0).

The library checks against the clock on the wall and wants a body that is UTF-8; here there is one clock, and
a mail is whatever bytes it is. The tests sign with the library.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

from pydantic import SecretStr

from domain.errors import Refused

TOLERANCE: Final = 300
"""Seconds that the sender's clock, or the way, may take it off."""
_ID: Final = re.compile(r"[!-\-/-~]{1,255}")  # no dot: with one, two messages could have one signature
_INSTANT: Final = re.compile(r"[0-9]{1,12}")


class Presented(NamedTuple):
    """What the head of a webhook says of itself."""

    message_id: str
    at: str
    signatures: list[str]


def presented(headers: Mapping[str, str], now: datetime) -> Presented:
    """What a head says, before the body is read. Raises `Refused` (401): `unsigned`, `outdated`."""
    message_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    if not (_ID.fullmatch(message_id) and _INSTANT.fullmatch(at) and signatures):
        raise Refused("unsigned", "webhook-id, webhook-timestamp or webhook-signature is missing", 401)
    if abs(int(at) - now.timestamp()) > TOLERANCE:
        raise Refused("outdated", "the message was signed more than five minutes ago, or ahead", 401)
    return Presented(message_id, at, signatures.split(" "))


def verified(headers: Mapping[str, str], body: bytes, secret: SecretStr, now: datetime) -> str:
    """The id of a message that was signed with the secret, at most five minutes before or after `now`.

    The same id is the same message, however often it is sent. Raises `Refused` (401): `unsigned`, `forged`,
    `outdated`.
    """
    said = presented(headers, now)
    signed = f"{said.message_id}.{said.at}.".encode() + body
    own = b"v1," + b64encode(hmac.digest(key_of(secret), signed, sha256))
    if not any(hmac.compare_digest(own, one.encode("latin-1", "replace")) for one in said.signatures):
        raise Refused("forged", "no signature fits the message", 401)
    return said.message_id


def key_of(secret: SecretStr) -> bytes:
    """The key of a secret: base64, its padding may be missing, with or without `whsec_` before it."""
    written = secret.get_secret_value().removeprefix("whsec_")
    return b64decode(written + "=" * (-len(written) % 4), validate=True)
