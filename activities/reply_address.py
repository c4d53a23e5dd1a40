"""The address a record is answered at: `reply+<record>.<mac>@<domain>`, which nobody can make up.

It is what replies thread by (plus-addressing): a mail program may lose the thread, not where it writes to.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Iterable
from hashlib import sha256

from pydantic import SecretStr

_ADDRESS = re.compile(r"reply\+(?P<record>[1-9]\d{0,18})\.(?P<mac>[a-z2-7]{16})@.+", re.IGNORECASE)


def reply_address(secret: SecretStr, record_id: int, domain: str) -> str:
    """The address of a record. Its local part means the same in upper case: servers may change that."""
    return f"reply+{record_id}.{mac(secret, f'reply/{record_id}')}@{domain}"


def record_of(secret: SecretStr, addresses: Iterable[str]) -> int | None:
    """The record of the first address that is such a one; None without a secret, and for a forged one."""
    if not secret.get_secret_value():
        return None
    for address in addresses:
        found = _ADDRESS.fullmatch(address.strip())
        if found and hmac.compare_digest(
            found["mac"].lower(), mac(secret, f"reply/{int(found['record'])}")
        ):
            return int(found["record"])
    return None


def mac(secret: SecretStr, what: str) -> str:
    """HMAC-SHA256 of what is signed, cut to 80 bits, in letters and digits that survive a change of case."""
    whole = hmac.digest(secret.get_secret_value().encode(), what.encode(), sha256)
    return b32encode(whole[:10]).decode().lower()
