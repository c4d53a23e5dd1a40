"""What PostgreSQL alone says of a journey, to be compared with what the journey knows."""

from __future__ import annotations

from datetime import datetime
from difflib import unified_diff
from pprint import pformat
from typing import TYPE_CHECKING, Any

from activities.house import House
from activities.rebuilding import first_to_read, rebuild
from activities.runner import Runner
from activities.visits import Drive
from db.locked import Locked
from domain.events import Fired
from domain.progress import Progress

if TYPE_CHECKING:
    from tests.journeys.product import Product


class _Undone(Exception):
    pass


async def rebuilt(product: Product, record_id: int, now: datetime) -> Progress:
    """The machine of a journey that would begin anew now; nothing of it is written."""
    progress = Progress()
    try:
        async with product.database.transaction() as tx:
            locked = await Locked.take(tx, product.book, record_id)
            assert locked is not None
            await locked.reload(await first_to_read(locked))
            drive = Drive(Runner(locked, House(), product.ids, now), progress)
            found = await rebuild(drive.runner, progress)
            await drive.feed(*found.events, asked=found.commands)
            if (due := progress.next_due) and due <= now:
                await drive.feed(Fired(now))
            raise _Undone  # noqa: TRY301 - undoes the transaction
    except _Undone:
        return progress


def known(progress: Progress) -> dict[str, Any]:
    """What has to be the same: each step that has not ended, and how; what is owed beside them."""
    steps = {
        f"{visit.visit_no}/{step.rule}": _step(visit, step)
        for visit in progress.visits
        for step in visit.steps
        if not step.over
    }  # what has ended is the ledger's
    caused = [c.key for c in progress.caused]
    return {"visit_no": progress.visit_no, "steps": steps, "closing": progress.closing, "caused": caused}


def difference(anew: dict[str, Any], knew: dict[str, Any]) -> str:
    """What differs, line by line."""
    both = [pformat(of, width=200).splitlines() for of in (knew, anew)]
    return "\n".join(unified_diff(*both, "the journey", "the database", lineterm="", n=1))


def _step(visit: Any, step: Any) -> dict[str, Any]:
    # `moved` is the journal's: of a step that was in flight the machine takes the instant of its return
    own = step.model_dump(exclude={"n", "first", "turn", "moved"})
    opened = step.status == "open"
    return own | {"left": visit.left, "turn": None if opened else step.turn, "acts": step.n > 0}
