"""Records: moved, deleted, restored."""

from __future__ import annotations

from fastapi import APIRouter, Response

from activities.recycling import delete, restore
from api.answers import RecordOut
from api.input import Name, PathId, Sendable, Version
from api.service import Served
from api.taking import take
from api.writing import Answer, Write
from db.engine import Transaction
from db.records import By, change_pipeline, check_version, move

router = APIRouter(tags=["records"])


class MoveIn(Sendable):
    """Where the record goes within its pipeline."""

    stage: Name
    version: Version | None = None
    by: Name | None = None


class PipelineIn(Sendable):
    """The pipeline the record goes to; without a stage it lands where the meaning is the same."""

    pipeline: Name
    stage: Name | None = None
    version: Version | None = None
    by: Name | None = None


@router.post("/records/{record_id}/move", response_model=RecordOut)
async def move_record(record_id: PathId, body: MoveIn, service: Served, write: Write) -> Response:
    """Move to another stage. The present one is no entry: nothing happens."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        check_version(locked, body.version)
        bell = await move(locked, body.stage, by)
        return Answer(body=RecordOut.of(locked.record), bells=(bell,))

    return await write(work, body.by)


@router.post("/records/{record_id}/pipeline", response_model=RecordOut)
async def move_to_pipeline(record_id: PathId, body: PipelineIn, service: Served, write: Write) -> Response:
    """Move to another pipeline; every running rule of the record ends."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        check_version(locked, body.version)
        bell = await change_pipeline(locked, body.pipeline, body.stage, by)
        return Answer(body=RecordOut.of(locked.record), bells=(bell,))

    return await write(work, body.by)


@router.delete("/records/{record_id}", status_code=204, response_class=Response)
async def delete_record(record_id: PathId, service: Served, write: Write) -> Response:
    """Put the record into the recycle bin; every step of it ends."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id)
        return Answer(204, None, (await delete(locked, by, service.house.mail),))

    return await write(work)


@router.post("/records/{record_id}/restore", response_model=RecordOut)
async def restore_record(record_id: PathId, service: Served, write: Write) -> Response:
    """Take the record out of the bin; one that is not in it stays as it is."""

    async def work(tx: Transaction, by: By) -> Answer:
        locked = await take(tx, service, record_id, from_bin=True)
        bell = await restore(locked, by)
        return Answer(body=RecordOut.of(locked.record), bells=(bell,))

    return await write(work)
