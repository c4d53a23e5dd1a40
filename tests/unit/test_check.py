"""Publishing refuses what cannot be right, names the place and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from activities.check import _parts, check
from activities.effect import DocumentTemplate, Effect, Setting, Template, Text
from activities.places import as_problems
from domain.fields import Field, Problem
from domain.rule import RuleSet
from domain.standard_fields import standard

SALES = {"new": "process", "offer": "process", "won": "success", "lost": "failure"}
SERVICE = {"intake": "process", "done": "success", "broken": "failure"}
CUSTOM = [Field(name="due_on", type="date"), Field(name="score", type="number")]
SETTING = Setting(
    record_type="deal",
    pipeline="sales",
    registry=standard("deal").with_custom(CUSTOM),
    stages={"sales": SALES, "service": SERVICE},
    employees=frozenset({"ada", "eve"}),
    departments=frozenset({"board"}),
)
WATCHES: dict[str, Any] = {"deadline": {"after": {"days": 1}}}
WAITS: dict[str, Any] = {"until": {"after": {"days": 1}}}


def rule(
    name: str, kind: str = "add_comment", params: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    own = {"text": "hello"} if params is None and kind == "add_comment" else params or {}
    return {"id": name, "kind": kind, "params": own, **more}


def move(name: str, stage: str, **more: Any) -> dict[str, Any]:
    return rule(name, "change_stage", {"stage": stage}, **more)


def published(**stages: Sequence[dict[str, Any]]) -> RuleSet:
    return RuleSet.model_validate({"stages": stages})


def problems(
    *, others: dict[str, RuleSet] | None = None, **stages: Sequence[dict[str, Any]]
) -> list[Problem]:
    return check(published(**stages), SETTING, others or {})


def only(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


def test_rules_that_can_be_right_are_published() -> None:
    greeting = {"text": "Hello {{ contact.first_name }}"}
    assert problems(
        new=[
            rule("hello", params=greeting, schedule={"basis": "record.due_on"}),
            rule("more", params={"text": "No. {{ steps.hello.id }}"}, after_previous=True, acting="ada"),
            rule("patience", "wait", WAITS | {"on_timeout": {"move_to": "lost"}}),
            rule("watch", "control", WATCHES | {"recipients": ["employee:eve"]}),
        ],
        offer=[move("on", "won", condition={"field": "record.score", "op": "greater", "value": 3})],
    ) == []


# -- kinds and parameters ------------------------------------------------------------------------------
def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    found = only(problems(new=[rule("hello", "add_coment", {"text": "x"})]))
    assert found.place == "/stages/new/0/kind"
    assert "'add_comment'" in found.message


def test_a_kind_is_refused_on_a_record_type_it_is_not_for() -> None:
    found = only(problems(new=[rule("go", "change_status", {"status": "offer"})]))
    assert (found.place, found.message) == ("/stages/new/0/kind", "change_status is not for deals")


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({}, "/params/text"),
        ({"text": "x", "colour": "red"}, "/params/colour"),
        ({"text": 7}, "/params/text"),
        ({"text": "x", "pinned": "perhaps"}, "/params/pinned"),
    ],
)
def test_parameters_that_do_not_validate_name_their_place(params: dict[str, Any], place: str) -> None:
    assert only(problems(new=[rule("hello", params=params)])).place == f"/stages/new/0{place}"


def test_a_document_to_be_attached_is_one_that_a_rule_above_makes() -> None:
    makes = rule("contract", "create_document", {"template": "offer"})
    sends = {"subject": "Hello", "text": "x", "attachments": ["document:contract"]}
    place, message = "/stages/new/0/params/attachments/0", "no rule 'contract' above makes a document"
    setting = SETTING._replace(templates={"offer": DocumentTemplate("typst", ())})
    for kind, params in (("send_email", sends), ("post_to_feed", {"subject": "x", "text": "x"} | sends)):
        told = rule("told", kind, params)
        assert check(RuleSet.model_validate({"stages": {"new": [makes, told]}}), setting, {}) == []
        found = only(check(RuleSet.model_validate({"stages": {"new": [told, makes]}}), setting, {}))
        assert (found.place, found.message) == (place, message)
    other = rule("contract", "create_todo", {"subject": "Write it"})  # it has an id too
    assert only(problems(new=[other, rule("told", "send_email", sends)])).message == message


def test_parameters_of_holds_name_the_place_within_a_union() -> None:
    params = {"until": {"after": {"days": "soon"}}, "on_client": {"move_to": 4}}
    places = {found.place for found in problems(new=[rule("patience", "wait", params)])}
    assert "/stages/new/0/params/until/after/days" in places
    assert "/stages/new/0/params/on_client/move_to" in places


def test_every_problem_is_listed_not_only_the_first() -> None:
    found = problems(
        new=[rule("a", "nothing"), rule("b", params={"text": "{{ record.nothing }}"})],
        later=[rule("c", acting="nobody")],
    )
    assert [problem.place for problem in found] == [
        "/stages/new/0/kind", "/stages/new/1/params/text", "/stages/later", "/stages/later/0/acting",
    ]  # fmt: skip


def test_what_only_a_kind_knows_is_said_once() -> None:
    params = {"subject": "call", "deadline": {"basis": "record.title"}}
    found = only(problems(new=[rule("call", "create_todo", params)]))
    assert found.place == "/stages/new/0/params/deadline/basis"


# -- stages, people, fields ----------------------------------------------------------------------------
def test_a_stage_that_does_not_exist_is_refused() -> None:
    found = only(problems(ofer=[rule("hello")]))
    assert (found.place, found.message) == ("/stages/ofer", "there is no stage 'ofer'; did you mean 'offer'?")


def test_a_name_with_a_slash_is_escaped_in_the_pointer() -> None:
    assert only(problems(**{"a/b~c": [rule("hello")]})).place == "/stages/a~1b~0c"


def test_a_move_to_a_stage_that_does_not_exist_is_refused() -> None:
    assert only(problems(new=[move("go", "nowhere")])).place == "/stages/new/0/params/stage"


@pytest.mark.parametrize("end", ["on_client", "on_timeout"])
def test_a_wait_cannot_move_to_a_stage_that_does_not_exist(end: str) -> None:
    found = only(problems(new=[rule("patience", "wait", WAITS | {end: {"move_to": "nowhere"}})]))
    assert found.place == f"/stages/new/0/params/{end}/move_to"


def test_acting_as_somebody_who_does_not_work_here_is_refused() -> None:
    found = only(problems(new=[rule("hello", acting="adda")]))
    assert found.place == "/stages/new/0/acting"
    assert found.message == "there is no employee 'adda'; did you mean 'ada'?"


@pytest.mark.parametrize("basis", ["record.title", "record.nothing", "contact.email"])
def test_a_schedule_counts_from_a_date_field(basis: str) -> None:
    found = only(problems(new=[rule("hello", schedule={"basis": basis})]))
    assert found.place == "/stages/new/0/schedule/basis"


def test_the_end_of_a_hold_counts_from_a_date_field_too() -> None:
    found = problems(
        new=[
            rule("patience", "wait", {"until": {"basis": "record.title"}}),
            rule("watch", "control", {"deadline": {"basis": "record.title"}}),
        ]
    )
    places = ["/stages/new/0/params/until/basis", "/stages/new/1/params/deadline/basis"]
    assert [problem.place for problem in found] == places


def test_comparing_a_number_with_a_text_is_an_error_when_the_rule_is_saved() -> None:
    wrong = {"all": [{"field": "record.amount", "op": "greater", "value": "a lot"}]}
    found = only(problems(new=[rule("hello", condition=wrong)]))
    assert (found.place, "is a number" in found.message) == ("/stages/new/0/condition/all/0/value", True)


def test_an_unknown_field_in_a_condition_is_an_error() -> None:
    found = only(problems(new=[rule("hello", condition={"field": "record.ammount", "op": "is_empty"})]))
    assert found.place == "/stages/new/0/condition/field"
    assert "record.amount" in found.message


def test_the_condition_of_a_control_is_checked() -> None:
    params = {"deadline": {"after": {"days": 1}}, "until": {"field": "record.nothing", "op": "is_empty"}}
    assert only(problems(new=[rule("watch", "control", params)])).place == "/stages/new/0/params/until/field"


def test_whoever_is_told_of_lateness_has_to_exist() -> None:
    again = {"every": {"days": 1}, "at_most": 2}
    level = {"after": {"days": 1}, "recipients": ["department:nothing"], "repeat": again}
    params = {
        "deadline": {"after": {"days": 1}},
        "recipients": ["employee:nobody"],
        "escalate": [level, level | {"recipients": ["supervisor"]}],
    }
    places = [found.place for found in problems(new=[rule("watch", "control", params)])]
    assert places == [
        "/stages/new/0/params/recipients/0",
        "/stages/new/0/params/escalate/0/recipients/0",
        "/stages/new/0/params/escalate/0/repeat",
    ]


# -- templates and results -----------------------------------------------------------------------------
def test_an_unknown_field_in_a_template_is_an_error_with_its_line() -> None:
    found = only(problems(new=[rule("hello", params={"text": "Dear\n{{ contact.frist_name }}"})]))
    assert found.place == "/stages/new/0/params/text"
    assert found.message.startswith("line 2: ")


@pytest.mark.parametrize(
    ("kind", "params", "place"),
    [
        ("control", {"deadline": {"after": {"days": 1}}, "message": "{{ nothing }}"}, "message"),
        ("wait", {"until": {"after": {"days": 1}}, "instruction": "{{ nothing }}"}, "instruction"),
    ],
)
def test_the_texts_of_holds_are_templates(kind: str, params: dict[str, Any], place: str) -> None:
    assert only(problems(new=[rule("hold", kind, params)])).place == f"/stages/new/0/params/{place}"


def test_only_results_of_rules_above_in_the_stage_may_be_quoted() -> None:
    quote = {"text": "{{ steps.first.id }}"}
    assert problems(new=[rule("first"), rule("second", params=quote)]) == []
    below = only(problems(new=[rule("second", params=quote), rule("first")]))
    elsewhere = only(problems(new=[rule("first")], offer=[rule("second", params=quote)]))
    own = only(problems(new=[rule("first", params=quote)]))
    assert below.place == own.place == "/stages/new/0/params/text"
    assert elsewhere.place == "/stages/offer/0/params/text"


def test_a_result_that_the_rule_above_does_not_have_is_refused() -> None:
    found = only(problems(new=[rule("first"), rule("second", params={"text": "{{ steps.first.code }}"})]))
    assert found.place == "/stages/new/1/params/text"


class Line(BaseModel):
    words: Text
    plain: str = ""


class Letter(Effect):
    """Templates in every place a kind may have them."""

    kind: ClassVar[str] = "letter"
    title: ClassVar[str] = "Letter"
    lines: list[Line] = []
    tags: list[Text] = []
    named: dict[str, Text] = {}
    foot: Text | None = None
    either: int | list[Text] = 0
    free: Annotated[Any, Template("plain")] = None
    plain: str = ""


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"lines": [{"words": "x"}, {"words": "{{ no }}"}]}, "lines/1/words"),
        ({"tags": ["x", "{{ no }}"]}, "tags/1"),
        ({"named": {"a": "{{ no }}"}}, "named/a"),
        ({"foot": "{{ no }}"}, "foot"),
        ({"either": ["{{ no }}"]}, "either/0"),
        ({"free": ["{{ no }}"]}, "free/0"),
    ],
)
def test_templates_are_found_however_deep(params: dict[str, Any], place: str) -> None:
    assert f"/{place}" in templates_of(params)


def test_a_text_that_is_no_template_may_hold_anything() -> None:
    found = templates_of({"plain": "{{ no }}", "lines": [{"words": "x", "plain": "{{"}]})
    assert found == {"/lines/0/words"}


def templates_of(params: dict[str, Any]) -> set[str]:
    return {part.place for part in _parts(Letter.model_validate(params), None, "") if part.template}


# -- cycles --------------------------------------------------------------------------------------------
def test_a_cycle_of_unconditional_undelayed_moves_is_refused_and_spelled_out() -> None:
    found = only(problems(new=[rule("hello"), move("on", "offer")], offer=[move("back", "new")]))
    assert found.place == "/stages/new/1"
    assert found.message.startswith("new → offer → new: ")


def test_a_cycle_across_pipelines_is_refused() -> None:
    go = rule("go", "change_pipeline", {"pipeline": "service"})
    back = rule("back", "change_pipeline", {"pipeline": "sales", "stage": "offer"})
    others = {"service": published(intake=[back])}
    found = only(problems(others=others, offer=[go]))
    assert found.place == "/stages/offer/0"
    assert found.message.startswith("sales/offer → service/intake → sales/offer: ")


def test_a_way_into_a_cycle_is_not_part_of_it() -> None:
    round_trip = {"offer": [move("on", "won")], "won": [move("back", "offer")]}
    found = only(problems(new=[move("in", "offer")], **round_trip))
    assert found.place == "/stages/offer/0"
    assert found.message.startswith("offer → won → offer: ")


def test_an_edit_of_the_stage_is_a_move() -> None:
    edit = rule("edit", "edit_record", {"set": [{"field": "stage", "value": "new"}]})
    assert only(problems(new=[move("on", "offer")], offer=[edit])).message.startswith("new → offer → new")


def test_a_cycle_that_stands_in_other_pipelines_alone_is_not_this_ones() -> None:
    others = {"service": published(intake=[move("a", "done")], done=[move("b", "intake")])}
    assert problems(others=others, new=[rule("go", "change_pipeline", {"pipeline": "service"})]) == []


@pytest.mark.parametrize(
    "back",
    [
        [move("back", "new", schedule={"after": {"minutes": 1}})],
        [move("back", "new", condition={"field": "record.source", "op": "is_empty"})],
        [move("back", "new", active=False)],
        [move("back", "new", repeat="once_per_record")],
        [rule("slow", schedule={"after": {"days": 1}}), move("back", "new", after_previous=True)],
        [rule("patience", "wait", WAITS), move("back", "new", after_previous=True)],
        [
            rule("maybe", condition={"field": "record.source", "op": "is_empty"}),
            move("back", "new", after_previous=True, run_if_previous="done"),
        ],
        [move("first", "won"), move("back", "new")],
        [move("stay", "offer"), rule("gone", "delete_record"), move("back", "new")],
        [rule("patience", "wait", WAITS | {"on_timeout": {"move_to": "new"}})],
    ],
)
def test_time_a_condition_or_an_earlier_transition_breaks_a_cycle(back: list[dict[str, Any]]) -> None:
    assert problems(new=[move("on", "offer")], offer=back) == []


@pytest.mark.parametrize(
    "back",
    [
        [rule("slow", schedule={"after": {"days": 1}}), move("back", "new")],
        [rule("mark", "wait", WAITS | {"mode": "marker"}), move("back", "new", after_previous=True)],
        [rule("watch", "control", WATCHES), move("back", "new", after_previous=True)],
        [move("stay", "offer"), move("back", "new")],
    ],
)
def test_what_does_not_hold_up_the_chain_does_not_break_a_cycle(back: list[dict[str, Any]]) -> None:
    assert only(problems(new=[move("on", "offer")], offer=back)).place == "/stages/new/0"


# -- places of pydantic's errors -----------------------------------------------------------------------
def test_the_place_of_an_error_is_a_path_of_what_was_written() -> None:
    deep = {"all": [{"any": [{"not": {"field": "record.amount", "op": "about"}}]}]}
    raw = {"stages": {"new": [rule("hello", condition=deep)]}}
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(RuleSet).validate_python(raw)
    (found,) = as_problems(refused.value.errors(), raw)
    assert found.place == "/stages/new/0/condition/all/0/any/0/not/op"


# -- words of the outside ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("word", "near"),
    [("E-Mail", "email"), ("Call", "call"), ("missed call", "missed_call"), ("", ""), ("x" * 64, ""),
     ("form\n", "form"), ("1st", ""), ("ça", "")],
)  # fmt: skip
def test_a_word_that_can_be_no_type_of_activity_is_refused(word: str, near: str) -> None:
    wait = rule("answer", "wait", WAITS | {"ends_on": ["call", word]})
    found = only(problems(new=[wait]))
    assert found.place == "/stages/new/0/params/ends_on/1"
    assert f"did you mean {near!r}?" in found.message if near else "did you mean" not in found.message
    for event in ("client_activity", "webhook"):
        trigger = {"id": "t", "event": event, "names": ["own_word", word], "stage": "offer"}
        triggered = RuleSet.model_validate({"stages": {}, "triggers": [trigger]})
        assert only(check(triggered, SETTING, {})).place == "/triggers/0/names/1"


def test_a_type_that_only_one_reporter_has_is_a_type() -> None:
    assert problems(new=[rule("answer", "wait", WAITS | {"ends_on": ["call", "whatsapp", "visit_2"]})]) == []


def test_a_provider_that_the_installation_has_not_is_refused() -> None:
    def sms(provider: str) -> dict[str, Any]:
        return rule("sms", "send_sms", {"text": "Hi", "provider": provider})

    found = only(problems(new=[sms("twilio")]))
    assert (found.place, "no account with twilio" in found.message) == ("/stages/new/0/params/provider", True)
    assert only(problems(new=[sms("tvilio")])).place == "/stages/new/0/params/provider"
    assert problems(new=[sms(""), sms("console") | {"id": "log"}]) == []
    has = SETTING._replace(sms_providers=frozenset({"twilio"}))
    assert check(published(new=[sms("twilio")]), has, {}) == []
