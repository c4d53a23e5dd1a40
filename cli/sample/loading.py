"""Loads the sample company, once, into a database that has no pipeline yet."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from typing import Final

from sqlalchemy import text

from activities.providers.blobs import Blobs
from activities.publish import publish
from activities.sales import line_rows
from cli.sample import company, equipment, records
from db.creation import create
from db.engine import Database, Transaction
from db.outbox import notify
from db.records import By
from db.rows import Ids, Rows, write
from domain.addresses import phone
from domain.rule import RuleSet

PIPELINES: Final = ("leads", "sales", "delivery")


class RulesFile(RuleSet):
    """Rules as the API takes them."""

    owner: str

    @property
    def rules(self) -> RuleSet:
        """What is published."""
        return RuleSet(stages=self.stages, triggers=self.triggers)


def rules_of(pipeline: str) -> RulesFile:
    """The rules of a pipeline of the sample, from the file beside this one."""
    file = files("cli.sample").joinpath("rules", f"{pipeline}.json")
    return RulesFile.model_validate_json(file.read_bytes())


async def load(database_url: str, at: datetime, blobs: Blobs) -> bool:
    """Write the sample in one transaction; False if there was a pipeline already, and nothing was written.

    `at` is the present: the near dates of the sample count from it. `blobs` is where the installation keeps
    its documents; the template goes there. Of two loads at once one waits for the other. The bells are left
    to the relay of a worker, which is woken. Raises `StoreAway`; then nothing was written.
    """
    database = Database(database_url, pool_size=1)
    try:
        async with database.transaction() as tx:
            await tx.execute(_TAKE_TURNS)
            if (await tx.execute(_ANY_PIPELINE)).scalar_one():
                return False
            await _write(tx, at, await blobs.put(equipment.template()))
            return True
    finally:
        await database.close()


async def _write(tx: Transaction, at: datetime, offer: str) -> None:
    ids = Ids()
    await write(tx, [*company.staff(at), *company.pipelines(), *equipment.equipment(at, offer)])
    companies = {key: await ids.take(tx, "company") for key in records.FIRMS}
    contacts = {key: await ids.take(tx, "contact") for key in records.PEOPLE}
    await write(tx, _clients(companies, contacts))
    for pipeline in PIPELINES:
        rules = rules_of(pipeline)
        await publish(tx, pipeline, rules.rules, rules.owner, at)
    for new, products in records.planned(at, contacts, companies):
        created = await create(tx, ids, new, By(company.OWNER, at))
        if products:
            await write(tx, [line_rows(created.record.id, products)])
    await tx.execute(text(notify()))


def _clients(companies: dict[str, int], contacts: dict[str, int]) -> list[Rows]:
    firms: list[dict[str, object]] = [
        {"id": companies[key], "name": firm.name, "address": firm.address}
        for key, firm in records.FIRMS.items()
    ]
    people: list[dict[str, object]] = [
        {
            "id": contacts[key], "first_name": person.first_name, "last_name": person.last_name,
            "emails": [person.email] if person.email else [], "phones": [phone(person.phone, "DE")],
            "company_id": companies[person.firm] if person.firm else None,
        }
        for key, person in records.PEOPLE.items()
    ]  # fmt: skip
    return [Rows("company", firms), Rows("contact", people)]


_LOADING: Final = 0x5361_6D70  # a number of our own among the advisory locks
_TAKE_TURNS = text(f"select pg_advisory_xact_lock({_LOADING})")
_ANY_PIPELINE = text("select exists (select from pipeline)")
