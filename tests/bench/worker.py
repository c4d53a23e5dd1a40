"""The product's worker as a process, as it is; around it an interceptor tells what has been committed."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from temporalio.client import Client
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from db import logs
from db.engine import Database
from db.settings import Settings
from db.temporal import connect
from domain.journey import Driven, EnterStage, RuleRun
from tests.bench import beacon
from worker.running import POOL_SIZE, running


class Telling(ClientInterceptor, Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - its name there
        return _Telling(next)


class _Telling(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - its name there
        answer = await super().execute_activity(input)
        match input.args[0], answer:
            case EnterStage(record_id=record), Driven(progress=progress):
                beacon.tell("entered", f"{record}.{progress.visit_no}")
                if progress.next_due is None:  # also what was delayed, if the entry itself came late
                    beacon.tell("done", f"{record}.{progress.visit_no}")
            case RuleRun(record_id=record, visit_no=visit_no), _:
                beacon.tell("done", f"{record}.{visit_no}")
        return answer


async def main() -> None:
    settings = Settings()
    logs.set_up(as_json=False)
    client = await connect(settings)
    telling = Client(**client.config() | {"interceptors": [Telling()]})
    async with running(telling, Database(settings.database_url, POOL_SIZE), settings):
        beacon.tell("ready", settings.task_queue)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())  # as the product runs
