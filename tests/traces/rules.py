"""The bank's pipeline and the rules that run in it: delays, chains, waits and controls at every stage."""

from typing import Any

Json = dict[str, Any]

ZONE = "Europe/Amsterdam"
PIPELINE_ID = "loans"
FIELD_TYPES = {"amount": "number", "submitted_at": "datetime", "priority": "text"}

CALENDAR: Json = {
    "week": {day: [["09:00", "12:00"], ["14:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "holidays": ["2011-12-26", "2012-01-02", "2012-04-06", "2012-04-09", "2012-04-30", "2012-05-17"],
    "exceptions": {"2011-12-05": [["09:00", "12:00"]], "2011-12-24": [["10:00", "13:00"]]},
}

MEANINGS = {
    "A_SUBMITTED": "process",
    "A_PARTLYSUBMITTED": "process",
    "A_PREACCEPTED": "process",
    "A_ACCEPTED": "process",
    "A_FINALIZED": "process",
    "O_CREATED": "process",
    "O_SENT": "process",
    "A_APPROVED": "process",
    "A_REGISTERED": "process",
    "A_ACTIVATED": "success",
    "A_DECLINED": "failure",
    "A_CANCELLED": "failure",
}


def stage_of(activity: str) -> str:
    """The stage's id of a state of the log: `A_SUBMITTED` is `a-submitted`."""
    return activity.lower().replace("_", "-")


def after(unit: str, amount: int, **more: Any) -> Json:
    return {"after": {unit: amount}, **more}


def working(unit: str, amount: int, **more: Any) -> Json:
    return {"after": {unit: amount}, "working_time": True, **more}


def since_submission(days: int, **more: Any) -> Json:
    return {"basis": "record.submitted_at", "after": {"days": days}, **more}


def comment(name: str, schedule: Json | None = None, **more: Any) -> Json:
    return made(name, "add_comment", {"text": name}, schedule, more)


def todo(name: str, schedule: Json | None = None, **more: Any) -> Json:
    return made(name, "create_todo", {"subject": name}, schedule, more)


def mail(name: str, schedule: Json | None = None, **more: Any) -> Json:
    return made(name, "send_email", {"subject": name, "text": name}, schedule, more)


def notify(name: str, schedule: Json | None = None, **more: Any) -> Json:
    return made(name, "notify", {"text": name}, schedule, more)


def put(name: str, field: str, value: str, schedule: Json | None = None, **more: Any) -> Json:
    return made(name, "edit_record", {"set": [{"field": field, "value": value}]}, schedule, more)


def move(name: str, activity: str, schedule: Json, **more: Any) -> Json:
    return made(name, "change_stage", {"stage": stage_of(activity)}, schedule, more)


def wait(name: str, until: Json, *, mode: str = "block", move_to: str | None = None, **more: Any) -> Json:
    """A wait for the client's reply, or for anything the client does."""
    params: Json = {"until": until, "mode": mode, "ends_on": more.pop("ends_on", ["reply"])}
    params["on_client"] = more.pop("on_client", "nothing")
    params["on_timeout"] = {"move_to": stage_of(move_to)} if move_to else more.pop("on_timeout", "nothing")
    return made(name, "wait", params | {"instruction": name}, more.pop("schedule", None), more)


def control(name: str, deadline: Json, until: Json | None = None, **more: Any) -> Json:
    params = {"deadline": deadline, "until": until, "message": name}
    return made(name, "control", params, more.pop("schedule", None), more)


def made(name: str, kind: str, params: Json, schedule: Json | None, more: Json) -> Json:
    rule: Json = {"id": name, "kind": kind, "params": params}
    if schedule:
        rule["schedule"] = schedule
    if more.pop("below", False):
        rule["after_previous"] = True
    return rule | more


def amount(op: str, value: Any) -> Json:
    return {"field": "record.amount", "op": op, "value": value}


URGENT = {"field": "record.priority", "op": "equal", "value": "HIGH"}

RULES: dict[str, list[Json]] = {
    "A_SUBMITTED": [
        comment("received"),
        put("large", "priority", "high", below=True, condition=amount("greater_or_equal", 25000)),
        todo("look-at-large", below=True, run_if_previous="done"),
        wait("papers", after("hours", 4), mode="marker"),
        control("pick-up", working("minutes", 30)),
        mail("welcome", after("minutes", 1), on_exit="keep", repeat="once_per_record"),
        comment("welcomed", after("hours", 2), below=True),
    ],
    "A_PARTLYSUBMITTED": [
        control("complete-form", after("minutes", 1)),
        wait("rest-of-form", working("hours", 3), on_exit="run_now"),
        mail("form-missing", after("days", 1), below=True, condition=amount("less", 5000)),
        comment("form-checked", below=True, run_if_previous="done_or_skipped"),
        todo(
            "check-large",
            after("minutes", 10),
            condition={"all": [URGENT, amount("between", [25000, 60000])]},
        ),
        notify("week-old", since_submission(7, at="09:00", working_time=True), on_exit="keep"),
    ],
    "A_PREACCEPTED": [
        todo("call-client", working("hours", 2)),
        wait("call-back", working("days", 1), below=True, on_timeout="notify", ends_on=[]),
        mail("remind", {"at": "09:00"}, below=True),
        control("accept-in-time", working("days", 2)),
        comment("small", condition={"not": amount("greater", 5000)}),
        move(
            "gone-quiet",
            "A_CANCELLED",
            after("days", 35, at="23:00"),
            condition=amount("less_or_equal", 15000),
        ),
        notify("submitted-lately", since_submission(1, if_past="skip")),
    ],
    "A_ACCEPTED": [
        control("finalise", working("hours", 1), URGENT),
        todo("make-offer", working("minutes", 15), on_exit="run_now"),
        put(
            "raise-priority",
            "priority",
            "high",
            after("minutes", 20),
            below=True,
            condition=amount("in", [10000, 20000]),
        ),
        notify("head-of-desk", condition=URGENT, if_false="wait", on_exit="keep"),
        wait("second-thoughts", after("minutes", 45), mode="marker"),
        comment("thought-over", after("hours", 1), below=True),
    ],
    "A_FINALIZED": [
        comment("offer-ready", repeat={"not_within": {"days": 3}}),
        wait("four-eyes", after("minutes", 5), on_exit="keep"),
        comment("four-eyes-done", below=True, run_if_previous="done"),
        control("offer-out", after("hours", 1)),
        notify("offer-slow", after("minutes", 30)),
    ],
    "O_CREATED": [
        comment("offer-made", repeat="once_per_record"),
        control("send-offer", after("minutes", 10)),
        wait("printing", after("minutes", 1), mode="marker", on_exit="run_now"),
        todo("enclose-form", after("hours", 1), below=True),
    ],
    "O_SENT": [
        wait("answer", after("days", 30), move_to="A_CANCELLED", on_exit="keep", on_client="todo"),
        comment("answered", below=True),
        mail("thanks", working("hours", 1), below=True, run_if_previous="done"),
        wait("first-reminder", working("days", 5), on_timeout="todo"),
        mail("reminder", {"at": "10:00", "working_time": True}, below=True),
        wait(
            "big-fish",
            after("days", 10),
            mode="marker",
            condition=amount("greater", 20000),
            on_timeout="notify",
        ),
        control("offer-open", working("days", 10)),
        control("urgent-offer", working("days", 4), {"not": URGENT}),
        comment("month-old", since_submission(30, if_past="fail", at="08:00")),
        move("too-old", "A_CANCELLED", since_submission(75, if_past="skip"), condition=amount("less", 50000)),
    ],
    "A_APPROVED": [
        comment("approved"),
        control("register", after("minutes", 1)),
        wait("signature", working("days", 3), on_exit="run_now"),
        mail("signature-missing", working("days", 1), below=True, condition=amount("greater", 10000)),
        put("calm", "priority", "low", after("days", 2)),
    ],
    "A_REGISTERED": [
        comment("registered", repeat="once_per_record"),
        wait("first-payment", after("days", 14), mode="marker", on_exit="keep"),
        todo("check-payment", after("days", 20, at="12:00"), below=True),
        control("activate", working("hours", 4)),
    ],
    "A_ACTIVATED": [
        mail("congratulations", working("minutes", 5)),
        wait("quiet-time", after("days", 21, at="09:00"), on_timeout="notify", on_exit="keep"),
        todo("how-was-it", below=True, condition=amount("greater_or_equal", 10000)),
        control("file-closed", working("days", 5)),
    ],
    "A_DECLINED": [
        mail("sorry", working("hours", 8), condition={"any": [URGENT, amount("less", 10000)]}),
        comment("told", below=True, run_if_previous="done"),
        wait("objection", working("days", 10), ends_on=[]),
        comment("no-objection", working("days", 1), below=True),
        control("archive", since_submission(28, at="17:00")),
    ],
    "A_CANCELLED": [
        wait("come-back", after("days", 14), mode="marker", ends_on=[]),
        mail(
            "try-again", after("days", 40, at="09:00"), below=True, condition=amount("between", [5000, 30000])
        ),
        control("closed-file", working("days", 3), {"field": "record.priority", "op": "is_empty"}),
        comment("cancelled", after("minutes", 1)),
    ],
}

PIPELINE: Json = {
    "stages": [{"id": stage_of(name), "meaning": meaning} for name, meaning in MEANINGS.items()],
    "rules": {stage_of(name): rules for name, rules in RULES.items()},
}
