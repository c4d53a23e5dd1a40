"""`create_repeat_lead`: the client of a deal becomes a lead once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from activities import births, recipients
from activities.act import Act
from activities.effect import Done, Effect, RecordType, Setting, Text
from db.creation import NewRecord
from domain.errors import Refused
from domain.fields import FieldType, Problem


class CreateRepeatLead(Effect):
    """A new lead with the deal's contact and company, linked back to the deal; its journey starts at once.

    It begins in the first status and is a repeat lead from the start. It is named by `title`, by default as
    the deal is. `responsible` is an employee's id, by default the deal's responsible.
    """

    kind: ClassVar[str] = "create_repeat_lead"
    title: ClassVar[str] = "Create a repeat lead"
    example: ClassVar[dict[str, JsonValue]] = {"title": "{{ record.title }}: a year later"}
    record_types: ClassVar[tuple[RecordType, ...]] = ("deal",)
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"lead": "number"}
    errors: ClassVar[dict[str, str]] = {
        "no_client": "the deal has neither a contact nor a company",
        "title_empty": "nothing is left of the title once it is filled in",
        "wrong_responsible": "there is no such active employee",
        "wrong_pipeline": "there is no pipeline of leads any more",
        "wrong_stage": "no status of the process is left for it to begin in",
        "loop": "the deal was itself born of rules, three times over",
    }

    named: Annotated[Text, Field(alias="title")] = "{{ record.title }}"
    responsible: str = "responsible"

    async def apply(self, act: Act) -> Done:
        if act.record.contact_id is None and act.record.company_id is None:
            raise Refused("no_client", "the deal has neither a contact nor a company")
        new = NewRecord(
            type="lead",
            pipeline=await births.lead_pipeline(act.tx),
            title=births.title_of(act, self.named),
            currency=act.record.currency,
            responsible=await births.responsible(act, self.responsible),
            contact=act.record.contact_id,
            company=act.record.company_id,
        )
        born = await births.bear(act, new, repeat=True)
        return Done({"lead": born.record.id}, bells=(born.bell,))

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from recipients.employee_problems(self.responsible, setting, "/responsible")
        if not setting.pipelines.get("lead"):
            yield Problem(place="", message="there is no pipeline of leads")
