"""The section *Condition* of the specification, sentence by sentence."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.conditions import Condition, Values, check, judge, reads, turns_at
from domain.fields import Field, FieldType, Registry, Steps, UnknownField, WrongType, dump, parse
from domain.standard_fields import standard

BERLIN = "Europe/Berlin"
NOW = datetime(2024, 5, 15, 10, 0, tzinfo=UTC)          # noon in Berlin
TREE: TypeAdapter[Condition] = TypeAdapter(Condition)
STEPS: Steps = {"coupon": {"code": "text"}, "meet": {"start": "datetime"}}
REGISTRY = standard("deal").with_custom([
    Field(name="score", type="number"), Field(name="vip", type="boolean"), Field(name="renewal", type="date"),
    Field(name="size", type="choice", choices=["Small", "Large"]), Field(name="limit", type="money"),
    Field(name="tags", type="text", multiple=True), Field(name="note", type="text"),
])


def tree(written: object) -> Condition:
    return TREE.validate_json(json.dumps(written))


def leaf(field: str, op: str, *value: object) -> dict[str, object]:
    return {"field": field, "op": op} | ({"value": value[0]} if value else {})


def holds(written: object, values: Values, now: datetime = NOW, zone: str = BERLIN) -> bool:
    return judge(tree(written), values, now, zone).holds


def messages(written: object) -> dict[str, str]:
    return {problem.place: problem.message for problem in check(tree(written), REGISTRY, STEPS)}


# --- a tree of all, any, not ---------------------------------------------------------------------------

def test_a_tree_of_all_any_and_not() -> None:
    yes, no = leaf("record.title", "is_not_empty"), leaf("record.title", "is_empty")
    values = {"record.title": "x"}
    assert holds({"all": [yes, {"any": [no, yes]}, {"not": no}]}, values)
    assert not holds({"all": [yes, no]}, values)
    assert not holds({"any": [no, {"not": yes}]}, values)
    assert holds({"all": []}, values) and not holds({"any": []}, values)


def test_it_is_written_back_as_it_was() -> None:
    written = {"not": {"any": [leaf("record.amount", "greater", 1000), leaf("record.vip", "equal", True),
                               leaf("record.note", "in", ["1", 1, 1.5, {"field": "record.title"}])]}}
    assert json.loads(TREE.dump_json(tree(written))) == written


@pytest.mark.parametrize("written", [
    {}, [], "x", None, {"all": {}}, {"all": [], "any": []}, {"field": "a"}, leaf("a", "matches", "b"),
    {"field": "a", "op": "equal", "value": {"now": {"weeks": 1}}}, leaf("a", "equal", {"call": "x"}),
    leaf("a", "equal", {"now": {"days": 1.5}}), leaf("a", "equal", {"today": {"days": 10**9}}),
])
def test_what_is_no_condition_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        tree(written)


def test_no_limit_on_the_number_of_conditions() -> None:
    parts = [leaf("record.score", "not_equal", n) for n in range(5000)]
    assert holds({"all": parts}, {"record.score": Decimal(-1)})
    assert not holds({"all": parts}, {"record.score": Decimal(4999)})


def test_a_tree_nested_without_end_is_refused_not_a_crash() -> None:
    with pytest.raises(ValidationError):
        TREE.validate_json('{"not":' * 5000 + '{"all":[]}' + "}" * 5000)


def test_what_it_reads_is_known() -> None:
    written = {"all": [leaf("record.amount", "between", [1, {"field": "record.limit"}]),
                       {"not": leaf("steps.coupon.code", "is_empty")}]}
    assert reads(tree(written)) == {"record.amount", "record.limit", "steps.coupon.code"}


# --- operators -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("field", "value", "op", "right", "expected"), [
    ("record.amount", Decimal("1000.00"), "equal", 1000, True),
    ("record.amount", Decimal("0.1"), "equal", 0.1, True),
    ("record.amount", Decimal("9.5"), "not_equal", 9.5, False),
    ("record.amount", Decimal(10), "greater", 9, True),
    ("record.amount", Decimal(10), "greater", 10, False),
    ("record.amount", Decimal(10), "greater_or_equal", 10, True),
    ("record.amount", Decimal(-1), "less", 0, True),
    ("record.amount", Decimal(10), "less_or_equal", 9.99, False),
    ("record.amount", Decimal(5), "between", [5, 7], True),
    ("record.amount", Decimal(7), "between", [5, 7], True),
    ("record.amount", Decimal("7.01"), "between", [5, 7], False),
    ("record.amount", Decimal(5), "in", [1, 5], True),
    ("record.amount", Decimal(5), "not_in", [1, 5], False),
    ("record.title", "Big DEAL", "equal", "big deal", True),
    ("record.title", "Straße", "equal", "STRASSE", True),
    ("record.title", "Café", "equal", "CAFE\u0301", True),
    ("record.title", "Big deal", "not_equal", "BIG DEAL", False),
    ("record.title", "Big deal", "in", ["x", "BIG deal"], True),
    ("record.title", "Big deal", "not_in", ["x"], True),
    ("record.title", "Big deal", "contains", "G D", True),
    ("record.title", "Big deal", "not_contains", "small", True),
    ("record.title", "Big deal", "starts_with", "bIG", True),
    ("record.title", "Big deal", "starts_with", "deal", False),
    ("record.title", "beta", "greater", "ALPHA", True),
    ("record.vip", True, "equal", True, True),
    ("record.vip", True, "equal", 1, False),
    ("record.renewal", date(2024, 2, 29), "less", "2024-03-01", True),
    ("record.created_at", NOW, "equal", "2024-05-15T12:00:00+02:00", True),
    ("record.created_at", datetime(2024, 5, 14, 22, tzinfo=UTC), "equal", "2024-05-15", True),
])
def test_every_operator(field: str, value: object, op: str, right: object, expected: bool) -> None:
    assert holds(leaf(field, op, right), {field: value}) is expected


def test_a_multiple_field_contains_a_value_if_one_of_its_values_equals_it() -> None:
    values = {"contact.email": ["Anna@x.com", "b@y.com"]}
    assert holds(leaf("contact.email", "contains", "anna@X.com"), values)
    assert not holds(leaf("contact.email", "contains", "anna"), values)
    assert holds(leaf("contact.email", "not_contains", "anna"), values)
    assert holds(leaf("contact.email", "in", ["B@y.com"]), values)
    assert not holds(leaf("contact.email", "not_in", ["B@y.com"]), values)
    assert holds(leaf("contact.email", "starts_with", "b@"), values)


def test_a_value_may_be_another_field() -> None:
    values = {"record.amount": Decimal(5), "record.limit": Decimal("5.0"), "record.note": "B@Y.com",
              "contact.email": ["b@y.com"]}
    assert holds(leaf("record.amount", "equal", {"field": "record.limit"}), values)
    assert holds(leaf("record.note", "in", {"field": "contact.email"}), values)
    assert holds(leaf("record.amount", "between", [1, {"field": "record.limit"}]), values)


def test_results_of_earlier_rules_may_be_read() -> None:
    written = leaf("steps.coupon.code", "starts_with", "sale")
    assert holds(written, {"steps.coupon.code": "SALE-1"}) and not messages(written)


@pytest.mark.parametrize("empty", [None, "", "  \t", [], ["", None]])
@pytest.mark.parametrize("op", ["equal", "not_equal", "greater", "contains", "not_contains", "starts_with"])
def test_a_comparison_with_an_empty_value_is_false(empty: object, op: str) -> None:
    assert not holds(leaf("record.note", op, "x"), {"record.note": empty})
    assert not holds(leaf("record.title", op, {"field": "record.note"}),
                     {"record.title": "x", "record.note": empty})
    assert holds({"not": leaf("record.note", op, "x")}, {"record.note": empty})


def test_so_is_one_with_a_list_of_nothing_but_empty_values() -> None:
    values = {"record.title": "x", "record.amount": Decimal(1)}
    assert not holds(leaf("record.note", "not_in", ["x"]), values)
    assert not holds(leaf("record.title", "not_in", [{"field": "record.note"}]), values)
    assert holds(leaf("record.title", "not_in", [{"field": "record.note"}, "y"]), values)
    assert not holds(leaf("record.amount", "between", [0, {"field": "record.limit"}]), values)


@pytest.mark.parametrize("empty", [None, "", " ", [], [" "]])
def test_is_empty_aside(empty: object) -> None:
    assert holds(leaf("record.note", "is_empty"), {"record.note": empty})
    assert holds(leaf("record.note", "is_empty"), {})
    assert not holds(leaf("record.note", "is_not_empty"), {"record.note": empty})
    assert holds(leaf("record.vip", "is_not_empty"), {"record.vip": False})
    assert holds(leaf("record.amount", "is_not_empty"), {"record.amount": Decimal(0)})


# --- now and today -------------------------------------------------------------------------------------

def test_now_and_today_plus_or_minus_a_period() -> None:
    start = {"record.created_at": datetime(2024, 5, 13, 10, 0, tzinfo=UTC)}
    assert holds(leaf("record.created_at", "equal", {"now": {"days": -2}}), start)
    assert holds(leaf("record.created_at", "less", {"now": {"hours": -47}}), start)
    midnight = {"record.created_at": datetime(2024, 5, 14, 22, 0, tzinfo=UTC)}
    assert holds(leaf("record.created_at", "equal", {"today": {}}), midnight)
    assert not holds(leaf("record.created_at", "equal", {"today": {}}), midnight, zone="UTC")


def test_days_are_calendar_days_in_the_zone() -> None:
    before_spring = datetime(2024, 3, 30, 8, 0, tzinfo=UTC)     # 09:00 in Berlin, 23 hours to 09:00 next day
    nine_again = {"record.created_at": datetime(2024, 3, 31, 7, 0, tzinfo=UTC)}
    assert holds(leaf("record.created_at", "equal", {"now": {"days": 1}}), nine_again, before_spring)
    assert holds(leaf("record.created_at", "equal", {"now": {"hours": 23}}), nine_again, before_spring)


def test_a_date_is_compared_as_a_date() -> None:
    late = datetime(2024, 5, 15, 23, 0, tzinfo=UTC)             # the 16th in Berlin
    values = {"record.renewal": date(2024, 5, 16)}
    assert holds(leaf("record.renewal", "equal", {"now": {}}), values, late)
    assert holds(leaf("record.renewal", "equal", {"today": {}}), values, late)
    assert not holds(leaf("record.renewal", "equal", {"today": {}}), values, late, zone="UTC")
    week = leaf("record.renewal", "between", [{"today": {}}, {"today": {"days": 7}}])
    assert holds(week, {"record.renewal": date(2024, 5, 23)}, late)
    assert not holds(week, {"record.renewal": date(2024, 5, 24)}, late)


def test_the_clock_turns_a_comparison_at_a_known_instant() -> None:
    due = datetime(2024, 5, 20, 9, 0, tzinfo=UTC)
    values: Values = {"record.created_at": due, "record.renewal": date(2024, 5, 20), "record.note": "x"}
    tick = timedelta(microseconds=1)
    reached = leaf("record.created_at", "less_or_equal", {"now": {}})
    assert turns_at(tree(reached), values, NOW, BERLIN) == due
    assert turns_at(tree(reached), values, due, BERLIN) is None
    assert turns_at(tree(leaf("record.created_at", "less", {"now": {}})), values, NOW, BERLIN) == due + tick
    two_before = tree(leaf("record.created_at", "less_or_equal", {"now": {"days": 2}}))
    assert turns_at(two_before, values, NOW, BERLIN) == due - timedelta(days=2)
    on_the_day = {"not": leaf("record.renewal", "equal", {"today": {}})}
    turn = turns_at(tree(on_the_day), values, NOW, BERLIN)
    assert turn == datetime(2024, 5, 19, 22, 0, tzinfo=UTC)
    assert turn is not None
    assert turns_at(tree(on_the_day), values, turn, BERLIN) == datetime(2024, 5, 20, 22, 0,
                                                                                 tzinfo=UTC)
    assert turns_at(tree({"any": [reached, on_the_day]}), values, NOW, BERLIN) == turn


def test_the_clock_turns_nothing_that_does_not_ask_for_it() -> None:
    assert turns_at(tree(leaf("record.note", "equal", "x")), {"record.note": "y"}, NOW, BERLIN) is None
    assert turns_at(tree(leaf("record.renewal", "less", {"now": {}})), {}, NOW, BERLIN) is None


EDGES = [datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC),
         datetime(2011, 12, 30, 10, tzinfo=UTC)]
near_a_jump = st.builds(
    lambda edge, minutes: edge + timedelta(minutes=minutes),
    st.sampled_from(EDGES), st.integers(-3 * 1440, 3 * 1440))


@settings(max_examples=150, deadline=None)
@example(now=EDGES[2], value=EDGES[2], days=-1, minutes=-90, op="less", clock="now", zone="Pacific/Apia",
         dated=False)
@given(now=near_a_jump, value=near_a_jump, days=st.integers(-2, 2), minutes=st.sampled_from([0, 30, -90]),
       op=st.sampled_from(["less", "less_or_equal", "greater", "equal"]),
       clock=st.sampled_from(["now", "today"]),
       zone=st.sampled_from([BERLIN, "Pacific/Apia", "America/Havana"]), dated=st.booleans())
def test_between_now_and_that_instant_nothing_turns(
    now: datetime, value: datetime, days: int, minutes: int, op: str, clock: str, zone: str, dated: bool,
) -> None:
    field = "record.renewal" if dated else "record.created_at"
    values: Values = {field: value.date() if dated else value}
    condition = tree(leaf(field, op, {clock: {"days": days, "minutes": minutes}}))
    before = judge(condition, values, now, zone).holds
    turn = turns_at(condition, values, now, zone)
    last = now + timedelta(days=7) if turn is None else min(turn, now + timedelta(days=7))
    assert turn is None or turn > now
    probe = now
    while probe < last:
        assert judge(condition, values, probe, zone).holds is before
        probe += timedelta(minutes=30)
    if turn is not None:
        assert judge(condition, values, turn - timedelta(microseconds=1), zone).holds is before
        assert judge(condition, values, turn, zone).holds is not before


# --- the journal ---------------------------------------------------------------------------------------

def test_the_journal_keeps_the_operands_and_the_verdict_also_when_it_is_no() -> None:
    verdict = judge(tree({"all": [leaf("record.title", "is_empty"), leaf("record.amount", "greater", 10),
                                  leaf("record.created_at", "less", {"now": {"hours": 1}})]}),
                    {"record.title": "x", "record.amount": Decimal("12.50")}, NOW, BERLIN)
    assert json.loads(verdict.model_dump_json()) == {"holds": False, "operands": [
        {"field": "record.title", "op": "is_empty", "left": "x", "right": None, "holds": False},
        {"field": "record.amount", "op": "greater", "left": 12.5, "right": 10, "holds": True},
        {"field": "record.created_at", "op": "less", "left": None, "right": "2024-05-15T11:00:00+00:00",
         "holds": False}]}


# --- what is refused when the rule is saved ------------------------------------------------------------

@pytest.mark.parametrize(("written", "part"), [
    (leaf("record.amount", "greater", "1000"), "is a number"),
    (leaf("record.amount", "equal", True), "is not an amount"),
    (leaf("record.title", "equal", 5), "is not a text"),
    (leaf("record.title", "less", {"field": "record.amount"}), "is a number"),
    (leaf("record.vip", "equal", "true"), "true or false"),
    (leaf("record.vip", "greater", True), "does not fit"),
    (leaf("record.amount", "contains", 1), "does not fit"),
    (leaf("record.size", "contains", "Small"), "does not fit"),
    (leaf("contact.email", "equal", "a@b.c"), "several values"),
    (leaf("record.title", "equal", {"field": "contact.email"}), "several values"),
    (leaf("record.size", "equal", "Medium"), "Small, Large"),
    (leaf("record.title", "in", "x"), "needs a list"),
    (leaf("record.title", "in", []), "at least one"),
    (leaf("record.title", "not_in", {"field": "record.note"}), "needs a list"),
    (leaf("record.amount", "between", [1]), "two"),
    (leaf("record.amount", "between", 5), "two"),
    (leaf("record.title", "equal", ["x"]), "not a list"),
    (leaf("record.title", "equal"), "needs a value"),
    (leaf("record.title", "is_empty", "x"), "takes no value"),
    (leaf("record.title", "equal", " "), "is_empty"),
    (leaf("record.amount", "less", {"now": {}}), "not a time"),
    (leaf("record.renewal", "less", "01.03.2024"), "a date"),
    (leaf("record.created_at", "less", "2024-03-01T10:00:00"), "offset"),
    (leaf("record.titel", "is_empty"), "did you mean 'record.title'"),
    (leaf("steps.cupon.code", "is_empty"), "earlier rules"),
    (leaf("steps.coupon.codes", "is_empty"), "did you mean 'steps.coupon.code'"),
    (leaf("record.title", "equal", {"field": "nothing"}), "no field"),
    ({"any": []}, "never true"),
])
def test_comparing_a_number_with_a_text_is_an_error_when_the_rule_is_saved(written: object,
                                                                           part: str) -> None:
    (problem,) = check(tree(written), REGISTRY, STEPS)
    assert part in problem.message


def test_all_problems_are_reported_each_with_its_place() -> None:
    found = messages({"all": [leaf("record.nope", "equal", {"field": "record.nix"}),
                              {"not": leaf("record.amount", "starts_with", "x")},
                              leaf("record.amount", "in", [1, "two"])]})
    assert set(found) == {"/all/0/field", "/all/0/value/field", "/all/1/not/op", "/all/1/not/value",
                          "/all/2/value/1"}


SAMPLES: dict[FieldType, st.SearchStrategy[object]] = {
    "text": st.text(max_size=5), "employee": st.text(max_size=5), "email": st.text(max_size=5),
    "choice": st.sampled_from(["Small", "Large"]),
    "number": st.decimals(-100, 100, places=2), "money": st.decimals(-100, 100, places=2),
    "boolean": st.booleans(), "date": st.dates(), "datetime": st.datetimes(timezones=st.just(UTC)),
}
FIELDS = [*REGISTRY.references(), "steps.coupon.code", "steps.meet.start"]
CONSTANTS = st.one_of(st.text(max_size=5), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
                      st.booleans(), st.dates().map(str), st.datetimes(timezones=st.just(UTC)).map(str))
SHIFTS = st.fixed_dictionaries({}, optional={"days": st.integers(-400, 400), "minutes": st.integers(-99, 99)})
ITEMS = st.one_of(CONSTANTS, st.sampled_from(FIELDS).map(lambda f: {"field": f}),
                  SHIFTS.map(lambda s: {"now": s}), SHIFTS.map(lambda s: {"today": s}))
OPS = ["equal", "not_equal", "greater", "less_or_equal", "in", "not_in", "contains", "not_contains",
       "starts_with", "is_empty", "between"]
LEAVES = st.builds(leaf, st.sampled_from(FIELDS), st.sampled_from(OPS),
                   st.one_of(ITEMS, st.lists(ITEMS, max_size=3)))


def _value(field: Field) -> st.SearchStrategy[object]:
    one = SAMPLES[field.type]
    return st.none() | (st.lists(one, max_size=3) if field.multiple else one)


VALUES = st.fixed_dictionaries({}, optional={
    **{ref: _value(REGISTRY.find(ref)) for ref in REGISTRY.references()},
    "steps.coupon.code": SAMPLES["text"], "steps.meet.start": SAMPLES["datetime"]})


@settings(max_examples=400, deadline=None)
@given(written=st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=3).map(lambda p: {"all": p}),
    st.lists(inner, max_size=3).map(lambda p: {"any": p}),
    inner.map(lambda p: {"not": p})), max_leaves=5), values=VALUES, now=st.integers(0, 2**31))
def test_judging_never_raises(written: object, values: Values, now: int) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    condition = tree(written)
    check(condition, REGISTRY, STEPS)           # checked or not: what does not fit is false, not an error
    verdict = judge(condition, values, moment, BERLIN)
    verdict.model_dump_json()
    turn = turns_at(condition, values, moment, BERLIN)
    assert turn is None or turn > moment


# --- fields --------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("kind", "raw", "value"), [
    ("text", "  x ", "x"), ("text", "  ", None), ("number", "12.50", Decimal("12.50")),
    ("money", 0.1, Decimal("0.1")),
    ("number", 7, Decimal(7)), ("boolean", "TRUE", True), ("boolean", False, False),
    ("date", "2024-02-29", date(2024, 2, 29)),
    ("datetime", "2024-05-15T12:00:00+02:00", NOW), ("datetime", "2024-05-15T10:00:00Z", NOW),
    ("date", None, None),
])
def test_a_value_is_read_in_the_type_of_its_field(kind: FieldType, raw: object, value: object) -> None:
    field = Field(name="x", type=kind)
    assert parse(field, raw) == value
    assert parse(field, dump(value)) == value


@pytest.mark.parametrize(("kind", "raw"), [
    ("text", 5), ("text", ["a"]), ("number", "1,5"), ("number", True), ("number", "nan"),
    ("number", float("inf")),
    ("number", "1e999"), ("number", 10**40), ("number", "9" * 5000), ("boolean", "yes"), ("boolean", 1),
    ("date", "2023-02-29"), ("date", "20240229"), ("date", NOW), ("datetime", "2024-05-15T10:00:00"),
    ("datetime", "2024-05-15"), ("datetime", NOW.replace(tzinfo=None)),
    ("datetime", "0001-01-01T00:00:00+10:00"),
    ("number", {}),
])
def test_what_does_not_fit_its_type_is_refused(kind: FieldType, raw: object) -> None:
    with pytest.raises(WrongType):
        parse(Field(name="x", type=kind), raw)


def test_several_values_and_choices() -> None:
    assert parse(Field(name="x", type="text", multiple=True), "a") == ["a"]
    assert parse(Field(name="x", type="text", multiple=True), [" a", "", None]) == ["a"]
    assert parse(Field(name="x", type="text", multiple=True), None) == []
    size = Field(name="size", type="choice", choices=["Small", "Large"])
    assert parse(size, "small") == "Small"
    with pytest.raises(WrongType, match="Small, Large"):
        parse(size, "Medium")


@given(st.decimals(-10**20, 10**20, allow_nan=False, places=4) | st.booleans() | st.text())
def test_the_json_form_is_exact(value: object) -> None:
    kind: FieldType = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    field = Field(name="x", type=kind)
    typed = parse(field, value)
    assert parse(field, json.loads(json.dumps(dump(typed)))) == typed


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(UnknownField, match=r"contact\.email"):
        REGISTRY.find("contact.emial")
    with pytest.raises(ValueError, match="already there"):
        REGISTRY.with_custom([Field(name="title", type="text")])
    assert isinstance(REGISTRY, Registry)
