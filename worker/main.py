"""The worker process: journeys, activities, relay, reconciler and postman until SIGTERM, then drain."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

import structlog
import uvloop
from sqlalchemy import text
from temporalio.client import Client

from activities.house import House
from db import logs
from db.database_clock import DatabaseClock
from db.engine import Database
from db.settings import Settings
from db.temporal import connect
from worker.cleaning import clean
from worker.clock import watch_the_clock
from worker.healing import heal
from worker.patience import DATABASE_AWAY, TEMPORAL_AWAY, Patience, until_it_answers
from worker.postman import deliver_invitations
from worker.reconciler import reconcile
from worker.relay import relay
from worker.running import POOL_SIZE, mail_of, running

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; returns when what was under way has ended, or after 20 seconds.

    Neither the database nor Temporal need be there: the process waits for them, now and later.
    """
    logs.set_up(as_json=settings.log_json)
    uvloop.run(_serve(settings))  # a third less CPU for what talks to the database


async def run(settings: Settings, client: Client, database: Database, stop: asyncio.Event) -> None:
    """Work until `stop`. Raises `RuntimeError` or `RPCError` when Temporal lets a worker go."""
    queue = settings.task_queue
    clock = DatabaseClock()
    await clock.read(database)
    async with running(client, database, settings) as doorbell:
        log.info("the worker works", task_queue=queue, namespace=client.namespace)
        mail = mail_of(settings)
        async with asyncio.TaskGroup() as beside:
            beside.create_task(clock.keep(database, stop))
            beside.create_task(relay(database, client, queue, stop))
            beside.create_task(heal(database, client, queue, stop, clock.now))
            beside.create_task(reconcile(database, client, queue, stop, clock.now))
            beside.create_task(clean(database, stop, clock.now))
            beside.create_task(watch_the_clock(database, doorbell, House.of(settings), stop, clock.now))
            beside.create_task(deliver_invitations(database, mail, settings.mail_from, stop, clock.now))
            await stop.wait()
        await mail.close()
        log.info("the worker drains")


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(settings.database_url, POOL_SIZE)
    patience = Patience("the worker cannot go on", stop)
    try:
        while not stop.is_set():
            await until_it_answers("the database", partial(_schema, database), DATABASE_AWAY, stop)
            client = await until_it_answers("Temporal", partial(connect, settings), TEMPORAL_AWAY, stop)
            if client is None:
                return
            try:
                # a task of its own: a worker that fails cancels the task it runs in
                await asyncio.create_task(run(settings, client, database, stop))
            except TEMPORAL_AWAY as error:
                await patience.pause(error)
    finally:
        await database.close()


async def _schema(database: Database) -> str:
    """The version of the schema; without one the database is not ready."""
    async with database.transaction() as tx:
        return str((await tx.execute(text("select version_num from alembic_version"))).scalar_one())
