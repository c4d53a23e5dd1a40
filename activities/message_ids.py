"""The Message-IDs of what goes out: `<key.mac@domain>`, the same for all attempts, which nobody can make up.

Who answers one, or reports that it could not be delivered, has had the message: anybody can guess a key, as
`17.2.offer.0`, and so claim to answer what only the client was sent.
"""

from __future__ import annotations

import hmac
import re

from pydantic import SecretStr

from activities.reply_address import mac

_OURS = re.compile(r"<(?P<key>[^<>@\s]+)\.(?P<mac>[a-z2-7]{16})@[^<>@\s]+>")


def message_id(secret: SecretStr, key: str, domain: str) -> str:
    """The Message-ID of what is sent under that key; without a secret the key alone, which proves nothing."""
    signed = f"{key}.{mac(secret, f'message/{key}')}" if secret.get_secret_value() else key
    return f"<{signed}@{domain}>"


def is_ours(secret: SecretStr, written: str) -> bool:
    """Whether it was made with this secret; never without one."""
    found = _OURS.fullmatch(written)
    if not found or not secret.get_secret_value():
        return False
    return hmac.compare_digest(found["mac"], mac(secret, f"message/{found['key']}"))
