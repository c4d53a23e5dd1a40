"""What an SMS is: how many parts a text is cut into, and which numbers may get one.

Sources: 3GPP TS 23.038 (alphabets), TS 23.040 (9.2.3.24.1, concatenated messages).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType

MOST_SEGMENTS: Final = 10
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
_MOBILE: Final = frozenset(
    {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.PERSONAL_NUMBER}
)


def segments(text: str) -> int:
    """How many SMS a text is: one of 160 characters or parts of 153 in the GSM alphabet, else of 70 or 67.

    A character of the extension table counts twice, as does one beyond the basic plane in UCS-2; neither is
    cut in two.
    """
    if all(letter in _BASIC or letter in _EXTENSION for letter in text):
        return _parts([2 if letter in _EXTENSION else 1 for letter in text], 160, 153)
    return _parts([2 if ord(letter) > 0xFFFF else 1 for letter in text], 70, 67)


def may_be_mobile(number: str) -> bool:
    """Whether a number after E.164 may be that of a mobile phone; in some countries nobody can tell."""
    try:
        return phonenumbers.number_type(phonenumbers.parse(number)) in _MOBILE
    except phonenumbers.NumberParseException:
        return False


def _parts(sizes: Iterable[int], alone: int, each: int) -> int:
    sizes = list(sizes)
    if sum(sizes) <= alone:
        return 1
    parts, room = 0, 0
    for size in sizes:
        if size > room:
            parts, room = parts + 1, each
        room -= size
    return parts
