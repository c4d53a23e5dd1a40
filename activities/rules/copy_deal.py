"""`copy_deal`: one deal becomes two, or more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from activities import births, recipients
from activities.act import Act
from activities.choosing import Strategy, candidate_problems, choose
from activities.copying import Part, copy_parts
from activities.effect import Done, Effect, RecordType, Setting, Text
from activities.sales import lines_of
from db.creation import Created, NewRecord
from domain.fields import LONGEST_NAME, FieldType, Problem
from domain.rule import Written


class Landing(Written):
    """Where a copy begins: in the `pipeline`, by default that of the source, and there in the `stage`.

    Without a stage it is the first of the process.
    """

    pipeline: str | None = None
    stage: str | None = None


class Chosen(Written):
    """The responsible of each copy is chosen among `candidates`, as `change_responsible` does."""

    candidates: Annotated[list[str], Field(min_length=1)]
    strategy: Strategy = "round_robin"
    skip_absent: bool = True
    skip_off_duty: bool = False


class CopyDeal(Effect):
    """A new deal like this one, linked to it, in each of the `pipelines`; each has a journey of its own.

    It is named by `title`. `pipelines` lists where copies begin, by default one in the first stage of the
    same pipeline; all are made or none. `responsible` is `same` (the default), an employee's id, or a choice
    with `candidates` and a `strategy`. `copies` lists what is taken over: `fields`, `contacts` and `products`
    unless something else is said, also `comments`, `files`, `todos` (those still open) and `bookings` (those
    to come, each at the first free time from its start on). Of the fields those are copied that the other
    pipeline has too and that may be written.
    """

    kind: ClassVar[str] = "copy_deal"
    title: ClassVar[str] = "Copy the deal"
    example: ClassVar[dict[str, JsonValue]] = {
        "title": "{{ record.title }}: service",
        "pipelines": [{"pipeline": "service"}],
        "copies": ["fields", "contacts", "products", "comments"],
    }
    record_types: ClassVar[tuple[RecordType, ...]] = ("deal",)
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"ids": "number"}
    errors: ClassVar[dict[str, str]] = {
        "title_empty": "nothing is left of the title once it is filled in",
        "wrong_pipeline": "a pipeline is no more",
        "wrong_stage": "a stage is no more",
        "wrong_responsible": "the responsible is no active employee",
        "nobody_eligible": "no candidate may be chosen",
        "wrong_type": "a field names an employee there is not",
        "no_free_time": "the resources of a booking are not free together for a month",
        "wrong_resource": "a booked employee or thing is there no more",
        "not_allowed": "the other pipeline's field does not allow a booked resource",
        "loop": "the deal was itself born of rules, three times over",
    }

    named: Annotated[Text, Field(alias="title")] = "{{ record.title }} (copy)"
    pipelines: Annotated[list[Landing], Field(min_length=1, max_length=20)] = [Landing()]
    responsible: str | Chosen = "same"
    copies: list[Part] = ["fields", "contacts", "products"]

    def warnings(self, setting: Setting, stage: str) -> Iterator[Problem]:
        for number, landing in enumerate(self.pipelines):
            stages = setting.stages.get(landing.pipeline or setting.pipeline, {})
            first = next((name for name, meaning in stages.items() if meaning == "process"), None)
            here = (landing.pipeline or setting.pipeline, landing.stage or first)
            if here == (setting.pipeline, stage):
                what = f"each copy begins in {stage!r}, where this rule copies it, {births.DEEPEST} deep"
                yield Problem(place=f"/pipelines/{number}", message=what)

    async def apply(self, act: Act) -> Done:
        title = births.title_of(act, self.named)
        lines = await lines_of(act.tx, act.record.id) if "products" in self.copies else []
        born = [await self._copy(act, title, landing) for landing in self.pipelines]
        rows = [row for copy in born for row in births.products(copy, lines)]
        return Done(
            {"ids": [copy.record.id for copy in born]}, tuple(rows), bells=tuple(c.bell for c in born)
        )

    async def _copy(self, act: Act, title: str, landing: Landing) -> Created:
        source, own = act.record, "fields" in self.copies
        new = NewRecord(
            type="deal",
            pipeline=landing.pipeline or source.pipeline_id,
            stage=landing.stage,
            title=title,
            amount=source.amount if own or "products" in self.copies else None,
            currency=source.currency,
            source=source.source[: LONGEST_NAME] if own else "",
            responsible=await self._responsible(act),
            contact=source.contact_id if "contacts" in self.copies else None,
            company=source.company_id if "contacts" in self.copies else None,
        )
        born = await births.bear(act, new, fields=own)
        await copy_parts(act, born.record.id, self.copies)
        return born

    async def _responsible(self, act: Act) -> str | None:
        match self.responsible:
            case Chosen() as how:
                chosen = await choose(
                    act,
                    how.candidates,
                    how.strategy,
                    skip_absent=how.skip_absent,
                    skip_off_duty=how.skip_off_duty,
                )
                return chosen.id
            case "same":
                return act.record.responsible_id
        return await births.responsible(act, self.responsible)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        for number, landing in enumerate(self.pipelines):
            pipeline = landing.pipeline or setting.pipeline
            place = f"/pipelines/{number}"
            yield from births.landing_problems(pipeline, landing.stage, setting.stages, place)
        if isinstance(self.responsible, Chosen):
            yield from candidate_problems(self.responsible.candidates, setting, "/responsible/candidates")
        elif self.responsible != "same":
            yield from recipients.employee_problems(self.responsible, setting, "/responsible")
