"""What is well formed and can never be right is refused when it is saved, and told by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from activities.catalogue import effects, parameters
from activities.check import check, warnings
from activities.effect import Effect, Template
from tests.kinds.conftest import setting
from tests.unit.test_check import SETTING, problems, published, rule

LEFT = SETTING._replace(former=frozenset({"ben"}), now=datetime(2026, 3, 2, tzinfo=UTC))


def told(rule_: dict[str, Any], *above: dict[str, Any]) -> dict[str, str]:
    """What is said of the last of these rules, by its place within it."""
    place = f"/stages/new/{len(above)}"
    found = check(published(new=[*above, rule_]), LEFT, {})
    assert all(problem.place.startswith(place) for problem in found), found
    return {problem.place.removeprefix(place): problem.message for problem in found}


def where(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"condition": {"field": field, "op": op, "value": value}}


@pytest.mark.parametrize("kind", sorted(effects()))
@pytest.mark.parametrize("blank", ["", "  \n", "{{ '' }}", "{% if record.title == 'x' %}x{% endif %}"])
def test_no_text_that_a_kind_needs_is_saved_blank(kind: str, blank: str) -> None:
    """Over the whole catalogue: a text without a default, or with one that says something."""
    model = parameters(kind)
    assert model is not None
    of = "sales" if "deal" in model.record_types else "leads"  # type: ignore[attr-defined]  # it is an effect
    assert issubclass(model, Effect)
    for name, field in model.model_fields.items():
        if any(isinstance(mark, Template) for mark in field.metadata) and field.default != "":
            params = model.example | {field.alias or name: blank}
            found = check(published(new=[rule("it", kind, params)]), setting(of), {})
            said = [p.message for p in found if p.place.endswith(f"/params/{field.alias or name}")]
            constant = "record" not in blank
            assert bool(said) == constant, (kind, name, said)


def test_a_mail_needs_a_text_of_some_kind() -> None:
    blank = {"subject": "Hi", "text": " ", "html": "{{ '' }}"}
    assert told(rule("mail", "send_email", blank)) == {"/params/text": "there is neither a text nor html"}


@pytest.mark.parametrize("period", [{"days": 1}, {"minutes": 5}])
def test_a_time_before_now_is_past(period: dict[str, int]) -> None:
    early = {"before": period}
    assert set(told(rule("hello", schedule=early))) == {"/schedule/before"}
    assert set(told(rule("watch", "control", {"deadline": early}))) == {"/params/deadline/before"}
    assert set(told(rule("patience", "wait", {"until": early}))) == {"/params/until/before"}
    assert told(rule("hello", schedule=early | {"basis": "record.due_on"})) == {}


def test_planned_to_start_after_its_end() -> None:
    def task(start: dict[str, Any], end: dict[str, Any]) -> dict[str, str]:
        return told(rule("draw", "create_task", {"name": "Draw", "planned_start": start, "planned_end": end}))

    assert set(task({"after": {"days": 3}}, {"after": {"days": 2}})) == {"/params/planned_start"}
    late = {"basis": "record.due_on", "after": {"days": 1}, "working_time": True}
    assert set(task(late, {"basis": "record.due_on", "working_time": True})) == {"/params/planned_start"}
    assert task({"after": {"days": 2}}, {"after": {"days": 2}}) == {}
    assert task({"after": {"days": 3}}, {"basis": "record.due_on"}) == {}  # who knows


def test_a_constant_start_that_is_past() -> None:
    meets = {"subject": "Measure", "start": {"on": "2026-02-20"}}
    assert set(told(rule("meet", "schedule_meeting", meets))) == {"/params/start/on"}
    assert told(rule("meet", "schedule_meeting", meets | {"start": {"on": "2026-03-02"}})) == {}
    books = {"field": "visit", "start": "2026-02-20T09:00", "duration": {"hours": 1}}
    found = check(published(new=[rule("fit", "book_resource", books)]), setting()._replace(now=LEFT.now), {})
    assert [problem.place for problem in found] == ["/stages/new/0/params/start"]


@pytest.mark.parametrize(("field", "low", "high"), [
    ("record.score", 5, 3), ("record.due_on", "2026-04-02", "2026-04-01"), ("record.title", "b", "A"),
    ("record.created_at", {"now": {"days": 2}}, {"now": {"days": 1}}),
    ("record.due_on", {"today": {"days": -1}}, {"today": {"days": -2}}),
])  # fmt: skip
def test_between_has_the_lower_value_first(field: str, low: Any, high: Any) -> None:
    assert told(rule("hello", **where(field, "between", [low, high]))) == {
        "/condition/value": "'between' has the lower value first"
    }
    assert told(rule("hello", **where(field, "between", [high, low]))) == {}
    assert told(rule("hello", **where(field, "between", [low, low]))) == {}


def test_repeated_every_nothing() -> None:
    again = {"every": {"hours": 0}, "at_most": 3}
    level = {"after": {"hours": 1}, "recipients": ["supervisor"], "repeat": again}
    found = told(rule("watch", "control", {"deadline": {"after": {"days": 1}}, "escalate": [level]}))
    assert set(found) == {"/params/escalate/0/repeat/every"}


@pytest.mark.parametrize(("field", "value", "said"), [
    ("record.stage", "ofer", "there is no stage 'ofer'; did you mean 'offer'?"),
    ("record.pipeline", "sale", "there is no pipeline 'sale'; did you mean 'sales'?"),
    ("record.responsible", "adda", "there is no employee 'adda'; did you mean 'ada'?"),
    ("record.responsible", "ben", "the employee 'ben' is no longer active"),
    ("contact.responsible", "zoe", "there is no employee 'zoe'"),
])  # fmt: skip
def test_a_condition_names_no_stage_and_nobody_there_is_not(field: str, value: str, said: str) -> None:
    for op, written in (("equal", value), ("not_equal", value), ("in", [value])):
        found = told(rule("hello", **where(field, op, written)))
        assert list(found.values()) == [f"{field}: {said}"]
    params = {"deadline": {"after": {"days": 1}}, "until": where(field, "equal", value)["condition"]}
    assert list(told(rule("watch", "control", params)).values()) == [f"{field}: {said}"]


def test_who_has_left_is_told_by_name() -> None:
    left = "the employee 'ben' is no longer active"
    assert told(rule("hello", acting="ben")) == {"/acting": left}
    assert told(rule("tell", "notify", {"text": "Hi", "recipients": ["employee:ben"]})) == {
        "/params/recipients/0": left
    }
    assert told(rule("call", "create_todo", {"subject": "Call", "responsible": "ben"})) == {
        "/params/responsible": left
    }


def test_on_exit_is_said_where_it_counts() -> None:
    found = told(rule("more", after_previous=True, on_exit="keep"), rule("hello", on_exit="keep"))
    assert set(found) == {"/on_exit"}
    assert "first rule of a chain" in found["/on_exit"]


def test_a_rule_there_is_not_is_told_by_its_name() -> None:
    found = told(rule("more", params={"text": "{{ steps.zzz.code }}"}), rule("coupon", "generate_code"))
    assert found["/params/text"].endswith("there is no rule 'zzz' above in this stage")
    asked = where("steps.cupon.code", "is_not_empty", None)
    found = told(rule("more", **asked), rule("coupon", "generate_code"))
    assert "there is no rule 'cupon' above in this stage; did you mean 'coupon'?" in found["/condition/field"]


def test_a_copy_that_begins_where_it_is_copied_again_is_warned_of() -> None:
    def said(stage: str, **params: Any) -> list[str]:
        rules = published(**{stage: [rule("again", "copy_deal", params)]})
        assert check(rules, LEFT, {}) == []
        return [problem.place for problem in warnings(rules, LEFT)]

    assert said("new") == ["/stages/new/0/params/pipelines/0"]
    assert said("offer", pipelines=[{"stage": "offer"}]) == ["/stages/offer/0/params/pipelines/0"]
    assert said("offer") == []
    assert said("new", pipelines=[{"pipeline": "service"}]) == []
    assert problems(new=[rule("hello")]) == []
