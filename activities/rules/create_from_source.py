"""`create_from_source`: a lead becomes a deal and a client, a deal a quote and an invoice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import JsonValue

from activities import births, conversion, recipients
from activities.act import Act
from activities.effect import Done, Effect, Setting
from activities.sales import SERIES, Paper, lines_of, paper, sold
from db.creation import Created, NewRecord
from db.rows import Rows
from domain.errors import Refused
from domain.fields import LONGEST_NAME, LONGEST_TITLE, FieldType, Problem
from domain.rule import Nature, Written

_OF_LEADS = ("deal", "contact", "company")
_OF_DEALS: tuple[Paper, ...] = ("quote", "invoice")


class NewDeal(Written):
    """Where the deal begins; without a stage in the first of the process."""

    pipeline: str
    stage: str | None = None


class CreateFromSource(Effect):
    """Makes of a lead a `deal`, a `contact`, a `company`, of a deal a `quote`, an `invoice`; all, or none.

    For a lead, `deal` says in which pipeline and stage it begins: with the lead's title, amount, products,
    clients, and the fields that deals of that pipeline have too. The contact is that with the lead's phone
    or e-mail, else a new one; the company is made by the lead's `company_name`. The lead is converted, and
    goes to its success status; one converted before fails. A repeat lead gives a deal only. For a deal, the
    quote and the invoice hold its products, or its amount, and are numbered in `quote_series` (`quotes`) and
    `invoice_series` (`invoices`). `responsible` is an employee's id, by default the record's. With
    `complete_todos` what is still to be done on the record counts as done. A failure makes a to-do for the
    responsible.
    """

    kind: ClassVar[str] = "create_from_source"
    title: ClassVar[str] = "Create from the source"
    example: ClassVar[dict[str, JsonValue]] = {"quote": True, "responsible": "responsible"}
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {
        "deal": "number",
        "contact": "number",
        "company": "number",
        "quote": "number",
        "quote_number": "text",
        "invoice": "number",
        "invoice_number": "text",
        "changed": "text",
    }
    errors: ClassVar[dict[str, str]] = {
        "converted": "the lead was converted before",
        "repeat_lead": "a repeat lead gives a deal only, and more was asked for",
        "no_contact_data": "the lead has neither a name nor a phone nor an e-mail",
        "no_company_name": "the lead says no name of a company",
        "nothing_sold": "the deal has neither products nor an amount",
        "amount_too_large": "the products come to more than can be kept",
        "unknown_series": "there is no such number series",
        "wrong_record": "what is to be made cannot be made of such a record",
        "wrong_pipeline": "the pipeline of the deal is no more",
        "wrong_stage": "the stage of the deal, or the success status, is no more",
        "wrong_responsible": "the responsible is no active employee",
        "wrong_type": "a field names an employee there is not",
        "loop": "the lead was itself born of rules, three times over",
    }

    deal: NewDeal | None = None
    contact: bool = False
    company: bool = False
    quote: bool = False
    invoice: bool = False
    quote_series: str = SERIES["quote"]
    invoice_series: str = SERIES["invoice"]
    responsible: str = "responsible"
    complete_todos: bool = False

    @classmethod
    def nature_of(cls, params: Mapping[str, JsonValue]) -> Nature:
        return "transition" if any(params.get(what) for what in _OF_LEADS) else cls.nature

    @property
    def asked(self) -> list[str]:
        """What is ticked."""
        return [what for what in (*_OF_LEADS, *_OF_DEALS) if getattr(self, what)]

    async def apply(self, act: Act) -> Done:
        wrong = [what for what in self.asked if what not in _makes(act.record.record_type)]
        if wrong:
            raise Refused("wrong_record", f"no {wrong[0]} is made of a {act.record.record_type}")
        responsible = await births.responsible(act, self.responsible)
        if act.record.record_type == "lead":
            return await self._convert(act, responsible)
        return await self._papers(act, responsible)

    # -- of a lead -----------------------------------------------------------------------------
    async def _convert(self, act: Act, responsible: str | None) -> Done:
        conversion.check_lead(act, self.asked)
        company = await conversion.make_company(act) if self.company else None
        contact = await conversion.make_contact(act, responsible, company) if self.contact else None
        changed = await conversion.link(act, contact, company)
        born = await self._deal(act, responsible) if self.deal else None
        lines = await lines_of(act.tx, act.record.id) if born else []
        if self.complete_todos:
            await conversion.complete_todos(act)
        moved_to = await conversion.close_lead(act)
        made = {"deal": born and born.record.id, "contact": contact, "company": company}
        results: dict[str, JsonValue] = {what: id_ for what, id_ in made.items() if id_ is not None}
        rows = births.products(born, lines) if born else ()
        bells = (born.bell,) if born else ()
        return Done(results | {"changed": [*changed]}, rows, moved_to, changed, bells)

    async def _deal(self, act: Act, responsible: str | None) -> Created:
        assert self.deal is not None  # noqa: S101  # asked before
        lead = act.record
        new = NewRecord(
            type="deal",
            pipeline=self.deal.pipeline,
            stage=self.deal.stage,
            title=lead.title[: LONGEST_TITLE],
            amount=lead.amount,
            currency=lead.currency,
            source=lead.source[: LONGEST_NAME],
            responsible=responsible,
            contact=lead.contact_id,
            company=lead.company_id,
        )
        return await births.bear(act, new, fields=True)

    # -- of a deal -----------------------------------------------------------------------------
    async def _papers(self, act: Act, responsible: str | None) -> Done:
        what = await sold(act)
        results: dict[str, JsonValue] = {}
        rows = []
        series: dict[Paper, str] = {"quote": self.quote_series, "invoice": self.invoice_series}
        for kind in _OF_DEALS:
            if getattr(self, kind):
                made, row = await paper(act, kind, series[kind], what, responsible)
                results |= {kind: made.id, f"{kind}_number": made.number}
                rows.append(row)
        if self.complete_todos:
            await conversion.complete_todos(act)
        return Done(results, tuple(rows))

    def on_failure(self, act: Act, why: str) -> tuple[Rows, ...]:
        return conversion.todo_of_failure(act, self.asked, why)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        makes = _makes(setting.record_type)
        if not self.asked:
            yield Problem(place="", message=f"nothing is to be made: there is {', '.join(makes)}")
        for what in self.asked:
            if what not in makes:
                message = f"no {what} is made of a {setting.record_type}: there is {', '.join(makes)}"
                yield Problem(place=f"/{what}", message=message)
        if self.deal and setting.record_type == "lead":
            deals = setting.pipelines.get("deal", {})
            yield from births.landing_problems(self.deal.pipeline, self.deal.stage, deals, "/deal")
        for kind, series in (("quote", self.quote_series), ("invoice", self.invoice_series)):
            if getattr(self, kind) and series not in setting.series | set(SERIES.values()):
                yield Problem(place=f"/{kind}_series", message=f"there is no number series {series!r}")
        yield from recipients.employee_problems(self.responsible, setting, "/responsible")


def _makes(record_type: str) -> tuple[str, ...]:
    return _OF_LEADS if record_type == "lead" else _OF_DEALS
