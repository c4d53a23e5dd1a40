"""Values of fields on their way into the database."""

from __future__ import annotations

from domain.errors import Refused
from domain.fields import Field, WrongType, is_empty, misfit, parse


def fitting(field: Field, raw: object) -> object:
    """The typed value of a field, as it can be stored; for people and for rules alike.

    Raises `Refused`: `wrong_type`, `required_field_empty`.
    """
    try:
        value = parse(field, raw)
    except WrongType as wrong:
        raise Refused("wrong_type", str(wrong)) from wrong
    if why := misfit(field, value):
        raise Refused("required_field_empty" if is_empty(value) else "wrong_type", why)
    return value


def texts(value: object) -> list[str]:
    """The texts among a value, which may be a list."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
