"""E-mail addresses and phone numbers in the one form in which they are kept and compared."""

from __future__ import annotations

import re
from typing import Final

MOST_OF_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3: a path of 256 with its brackets
MOST_OF_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_LABEL: Final = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_LOCAL: Final = re.compile(r"""[^\s"(),:;<>@\[\]\\.\x00-\x20\x7f]+(\.[^\s"(),:;<>@\[\]\\.\x00-\x20\x7f]+)*""")
_LONGEST: Final = 100  # of a phone number as somebody writes it


def email(text: str) -> str:
    """The address trimmed and in lower case, as it is kept and compared.

    Raises `ValueError` for what is no `local@domain` (RFC 5321; a quoted local part, an address literal and
    a display name are none).
    """
    address = text.strip().lower()
    local, at, domain = address.rpartition("@")
    fits = at and len(address) <= MOST_OF_EMAIL and 0 < len(local) <= MOST_OF_LOCAL
    if not (fits and _LOCAL.fullmatch(local)) or not is_domain(domain):
        raise ValueError(f"{text[:80]!r} is no e-mail address")
    return address


def is_domain(text: str) -> bool:
    """Whether it is the domain of an e-mail address, as `client.example`."""
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def phone(text: str, region: str) -> str:
    """The number after E.164, as `+4930901820`; an extension is dropped.

    `region` is the country (ISO 3166-1, two letters) whose number it is when it names none. Raises
    `ValueError` for what can be no number there.
    """
    import phonenumbers  # where somebody asks for it: journeys read fields, which hold e-mail addresses

    try:
        number = phonenumbers.parse(text[: _LONGEST + 1].strip(), region.upper())
    except phonenumbers.NumberParseException:
        number = None
    possible = number and phonenumbers.is_possible_number_with_reason(number)
    if number is None or len(text) > _LONGEST or possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise ValueError(f"{text[:80]!r} is no phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
