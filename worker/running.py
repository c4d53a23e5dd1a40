"""The two workers of one process: journeys and what only touches the database; and what is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.bounds import watching
from activities.documents import documents_of
from activities.providers.console import ConsoleMail
from activities.providers.mail import Mail
from activities.providers.sms import SmsProvider
from activities.providers.sms_console import ConsoleSms
from activities.providers.sms_gateway import GatewaySms
from activities.providers.sms_twilio import TwilioSms
from activities.providers.smtp import SmtpMail
from activities.work import Activities
from db.doorbell import Doorbell
from db.engine import Database
from db.settings import Settings
from domain.journey import io_queue
from workflows.journey import Journey

DATABASE_ACTIVITIES = 20
IO_ACTIVITIES = 50
POOL_SIZE = DATABASE_ACTIVITIES + 10
"""Connections of a worker: what acts, and relay, reconciler, bells and sends beside it."""
DRAINS_WITHIN: Final = timedelta(seconds=20)
_STICKY: Final = timedelta(seconds=2)  # so soon another worker takes over a journey of a dead one
SANDBOX: Final = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("domain")
)
"""In which tests run and replay journeys."""
_POLLERS: Final = PollerBehaviorAutoscaling(minimum=2, maximum=30, initial=5)


@asynccontextmanager
async def running(
    client: Client,
    database: Database,
    settings: Settings,
    *,
    mail: Mail | None = None,
    max_cached_workflows: int | None = None,
    sandboxed: bool = False,
) -> AsyncIterator[Doorbell]:
    """Run both workers inside the block; at its end what is under way may end, for at most 20 seconds.

    Yields the doorbell that the activities ring. `mail` is by default what the settings say. A worker that
    cannot go on cancels the block, and its error is raised at the end. `sandboxed`: every journey imports its
    code anew and is kept from what is not deterministic, as in the tests; it doubles what a journey costs.
    """

    async def connected() -> Client:
        return client

    doorbell = Doorbell(database, connected, settings.task_queue)
    post = mail or mail_of(settings)
    texts = sms_of(settings)
    acts = Activities(database, doorbell, post, settings, documents_of(settings), texts)
    cached = settings.max_cached_workflows if max_cached_workflows is None else max_cached_workflows
    journeys = Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[Journey],
        activities=acts.database_queue(),
        workflow_runner=SANDBOX if sandboxed else UnsandboxedWorkflowRunner(),
        max_cached_workflows=cached,
        max_concurrent_activities=DATABASE_ACTIVITIES,
        max_concurrent_local_activities=DATABASE_ACTIVITIES,
        workflow_task_poller_behavior=_POLLERS,
        activity_task_poller_behavior=_POLLERS,
        sticky_queue_schedule_to_start_timeout=_STICKY,
        graceful_shutdown_timeout=DRAINS_WITHIN,
    )
    slow = Worker(
        client,
        task_queue=io_queue(settings.task_queue),
        activities=acts.io_queue(),
        max_concurrent_activities=IO_ACTIVITIES,
        activity_task_poller_behavior=_POLLERS,
        graceful_shutdown_timeout=DRAINS_WITHIN,
    )
    with watching():
        async with journeys, slow:
            try:
                yield doorbell
            finally:
                await asyncio.gather(journeys.shutdown(), slow.shutdown())  # both at once
                await doorbell.settle()
                if mail is None:
                    await post.close()
                for provider in texts.values():
                    await provider.close()


def mail_of(settings: Settings) -> Mail:
    """Where mails go by the settings: to a server, or to the log."""
    if not settings.smtp_host:
        return ConsoleMail()
    return SmtpMail(
        settings.smtp_host,
        settings.smtp_port,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        starttls=settings.smtp_starttls,
    )


def sms_of(settings: Settings) -> dict[str, SmsProvider]:
    """The SMS providers that the settings know, by name.

    They are told where to report only if that can be reached from outside.
    """
    hooks = f"{settings.base_url.rstrip('/')}/api/v1/hooks/sms" if settings.base_url[:8] == "https://" else ""
    made: dict[str, SmsProvider] = {}
    for name in settings.sms_providers:
        reports = hooks and f"{hooks}/{name}"
        match name:
            case "twilio":
                url, token = settings.sms_twilio_url, settings.sms_twilio_token.get_secret_value()
                made[name] = TwilioSms(url, settings.sms_twilio_account, token, reports=reports)
            case "gateway":
                token = settings.sms_gateway_token.get_secret_value()
                made[name] = GatewaySms(settings.sms_gateway_url, token, reports=reports)
            case _:
                made[name] = ConsoleSms()
    return made
