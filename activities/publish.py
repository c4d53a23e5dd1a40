"""Publishing the rules of a pipeline: checked as a whole, numbered, and never changed again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import to_json
from sqlalchemy import text

from activities.check import check, warnings
from activities.effect import DocumentTemplate, RecordType, Setting
from activities.unknown import unknown
from db.engine import Transaction
from db.locked import registry
from db.rows import Rows, write
from domain.errors import Refused
from domain.fields import Problem
from domain.rule import RuleSet


class RulesRefused(Refused):
    """The rules cannot be published; `problems` says everything that is wrong with them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__("rules_refused", f"{first.place}: {first.message}" if first.place else first.message)
        self.problems = list(problems)


class Published(NamedTuple):
    """The number of the new version, and what should be looked at once more in it."""

    number: int
    warnings: list[Problem]


class Surroundings(NamedTuple):
    """What rules of a pipeline are checked against. `number` is that of its present version, 0 for none."""

    setting: Setting
    others: Mapping[str, RuleSet]
    number: int


async def publish(
    tx: Transaction, pipeline: str, rules: RuleSet, owner: str, at: datetime,
    sms_providers: Collection[str] = ("console",),
) -> Published:  # fmt: skip
    """Publish the next version. Open visits stay on the version they were opened with.

    `owner` is told of failures. `sms_providers` are those of the installation. Publications take turns: a
    cycle over two pipelines is found by the second.
    Raises `RulesRefused`, or `Refused` for a pipeline there is not.
    """
    await tx.execute(_TAKE_TURNS)
    around = await surroundings(tx, pipeline, sms_providers)
    setting = around.setting._replace(now=at)
    # thousands of templates take seconds: meanwhile the process does other things
    problems = await asyncio.to_thread(check, rules, setting, around.others)
    if owner not in around.setting.employees:
        said = unknown("employee", owner, sorted(around.setting.employees), around.setting.former)
        problems.insert(0, Problem(place="/owner", message=said))
    problems += await _reused(tx, pipeline, rules)
    if problems:
        raise RulesRefused(problems)
    # in full: a default that changes one day must not change what was published
    row = {"pipeline_id": pipeline, "number": around.number + 1, "owner_id": owner, "published_at": at}
    await write(tx, [Rows("rule_set", [row | rules.model_dump(mode="json")])])
    return Published(around.number + 1, warnings(rules, setting))


class _Found(BaseModel):
    record_type: RecordType
    fields: list[JsonValue]
    contact_fields: list[JsonValue]
    company_fields: list[JsonValue]
    number: int
    locale: str
    stages: dict[str, list[tuple[str, str]]]
    employees: list[str]
    former: list[str]
    departments: list[str]
    resources: list[str]
    templates: dict[str, DocumentTemplate]
    series: list[str]
    stamps: list[str]
    pipelines: dict[RecordType, dict[str, list[tuple[str, str]]]]
    rules: dict[str, JsonValue]


async def surroundings(
    tx: Transaction, pipeline: str, sms_providers: Collection[str] = ("console",)
) -> Surroundings:
    """Read what the rules of a pipeline are checked against. Raises `Refused` for one there is not."""
    row = (await tx.execute(_AROUND, {"pipeline": pipeline})).scalar_one_or_none()
    if row is None:
        raise Refused("unknown_pipeline", f"there is no pipeline {pipeline!r}", 404)
    found = _Found.model_validate_json(row)
    setting = Setting(
        record_type=found.record_type,
        pipeline=pipeline,
        registry=registry(
            found.record_type,
            *(to_json(listed) for listed in (found.fields, found.contact_fields, found.company_fields)),
        ),
        stages={name: dict(stages) for name, stages in found.stages.items()},
        employees=frozenset(found.employees),
        former=frozenset(found.former),
        departments=frozenset(found.departments),
        resources=frozenset(found.resources),
        templates=found.templates,
        series=frozenset(found.series),
        stamps=frozenset(found.stamps),
        pipelines={
            of: {name: dict(stages) for name, stages in pipelines.items()}
            for of, pipelines in found.pipelines.items()
        },
        sms_providers=frozenset(sms_providers),
        locale=found.locale,
    )
    return Surroundings(setting, dict(_readable(found.rules)), found.number)


def _readable(listed: Mapping[str, JsonValue]) -> Iterator[tuple[str, RuleSet]]:
    """The rules of other pipelines; those that were spoilt are nobody else's trouble."""
    for pipeline, stages in listed.items():
        with contextlib.suppress(ValidationError):
            yield pipeline, RuleSet.model_validate({"stages": stages})


async def _reused(tx: Transaction, pipeline: str, rules: RuleSet) -> list[Problem]:
    """Ids that an earlier version gave to another kind: results and repeat counts refer to them for ever."""
    rows = await tx.execute(_USED, {"pipeline": pipeline})
    used: dict[str, str] = {row.id: row.kind for row in rows}
    return [
        Problem(
            place=f"/stages/{stage}/{i}/id",
            message=f"{rule.id!r} was a rule of the kind {used[rule.id]}; ids are never used again",
        )
        for stage, listed in rules.stages.items()
        for i, rule in enumerate(listed)
        if used.get(rule.id, rule.kind) != rule.kind
    ]


_PUBLISHING: Final = 0x4A61_6C6F  # a number of our own among the advisory locks
_TAKE_TURNS = text(f"select pg_advisory_xact_lock({_PUBLISHING})")
_AROUND = text("""
select jsonb_build_object(
  'record_type', p.record_type,
  'fields', p.fields,
  'contact_fields', (select coalesce((select value from setting where key = 'contact_fields'), '[]')),
  'company_fields', (select coalesce((select value from setting where key = 'company_fields'), '[]')),
  'locale', coalesce(p.locale, (select value #>> '{}' from setting where key = 'locale'), 'en'),
  'number', (select coalesce(max(number), 0) from rule_set where pipeline_id = p.id),
  'stages', (
    select jsonb_object_agg(o.id, (
      select coalesce(jsonb_agg(jsonb_build_array(s.id, s.meaning) order by s.position, s.id), '[]')
      from stage s where s.pipeline_id = o.id and s.retired_at is null))
    from pipeline o where o.record_type = p.record_type),
  'pipelines', (
    select jsonb_object_agg(record_type, listed) from (
      select o.record_type, jsonb_object_agg(o.id, (
        select coalesce(jsonb_agg(jsonb_build_array(s.id, s.meaning) order by s.position, s.id), '[]')
        from stage s where s.pipeline_id = o.id and s.retired_at is null)) as listed
      from pipeline o group by o.record_type) t),
  'employees', (select coalesce(jsonb_agg(id), '[]') from employee where active),
  'former', (select coalesce(jsonb_agg(id), '[]') from employee where not active),
  'departments', (select coalesce(jsonb_agg(id), '[]') from department),
  'templates', (
    select coalesce(jsonb_object_agg(t.id, jsonb_build_array(t.format, t.required)), '{}') from (
      select distinct on (id) id, format, required from document_template order by id, version desc) t),
  'series', (select coalesce(jsonb_agg(id), '[]') from number_series),
  'stamps', (select coalesce(jsonb_agg(id), '[]') from stamp_image),
  'resources', (select coalesce(jsonb_agg(id), '[]') from resource where active),
  'rules', (
    select coalesce(jsonb_object_agg(r.pipeline_id, r.stages), '{}') from (
      select distinct on (r.pipeline_id) r.pipeline_id, r.stages
      from rule_set r join pipeline o on o.id = r.pipeline_id
      where o.record_type = p.record_type and o.id <> p.id
      order by r.pipeline_id, r.number desc) r)
)::text
from pipeline p where p.id = :pipeline
""")
_USED = text("""
select distinct r.value ->> 'id' as id, r.value ->> 'kind' as kind
from rule_set v,
  jsonb_each(case jsonb_typeof(v.stages) when 'object' then v.stages else '{}' end) s,
  jsonb_array_elements(case jsonb_typeof(s.value) when 'array' then s.value else '[]' end) r
where v.pipeline_id = :pipeline and r.value ->> 'id' is not null
""")
