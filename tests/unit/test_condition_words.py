"""A condition can be told in words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from domain.condition_tree import Condition
from domain.condition_words import in_words


@pytest.mark.parametrize(("written", "said"), [
    ({"field": "record.amount", "op": "greater", "value": 5000}, "record.amount is above 5000"),
    ({"field": "record.signed", "op": "equal", "value": True}, "record.signed is true"),
    ({"field": "record.amount", "op": "between", "value": [1.5, 2]}, "record.amount is between 1.5 and 2"),
    ({"field": "contact.email", "op": "is_empty"}, "contact.email is empty"),
    ({"field": "record.stage", "op": "in", "value": ["new", "won"]}, "record.stage is one of 'new', 'won'"),
    ({"field": "record.due_on", "op": "less", "value": {"today": {"days": -7}}},
     "record.due_on is below today - 7 days"),
    ({"field": "record.a", "op": "equal", "value": {"field": "record.b"}}, "record.a is record.b"),
    ({"not": {"any": [{"field": "record.a", "op": "is_empty"}, {"field": "record.b", "op": "is_empty"}]}},
     "not (record.a is empty or record.b is empty)"),
    ({"all": []}, "nothing more is asked for"),
])  # fmt: skip
def test_each_part_of_a_condition_has_its_words(written: Any, said: str) -> None:
    assert in_words(TypeAdapter(Condition).validate_python(written)) == said
