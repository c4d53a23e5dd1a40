"""The checker is alive: each damage done by hand to a good end is named, and the good end is not."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from uuid import uuid4

import asyncpg

from tests.chaos import checker
from tests.chaos.checker_world import Log
from tests.chaos.scene import Scene

LEFT = "(select min(record_id) from visit where visit_no = 1 and left_reason = 'left_stage')"
DEAD = "(select id from record where deleted_at is not null)"
HELLO = f"rule = 'hello' and visit_no = 1 and record_id = {LEFT}"
MESSAGE = f"rule = 'to-colleague' and record_id = {LEFT}"


def again(table: str, which: str) -> str:
    """The same rows, committed later."""
    return f"""
    create temp table c as select * from {table} where {which};
    delete from {table} where {which};
    insert into {table} select * from c
    """


def _twice(table: str, which: str) -> str:
    """The same rows once more, under other ids."""
    return f"""
    create temp table c as select * from {table} where {which};
    update c set id = id + 1000000;
    insert into {table} select * from c
    """


DAMAGES = {
    "a step without outcome": ("I1", f"delete from ledger where {HELLO}"),
    "a key that was claimed and not ended": ("I1", f"update ledger set outcome = '' where {HELLO}"),
    "a step that is done and left nothing": ("I1", f"delete from comment where {HELLO}"),
    "a comment that was made twice": ("I2", _twice("comment", HELLO)),
    "a to-do that was made twice": ("I2", _twice("todo", HELLO.replace("hello", "call"))),
    "two steps that led to one visit": (
        "I2", "update ledger set moved_to = 2 where rule in ('call', 'forward')"
    ),
    "a comment of a rule that is not in the plan": ("I3", f"update comment set rule = 'ghost' where {HELLO}"),
    "a comment of a rule that makes none": ("I3", f"update comment set rule = 'call' where {HELLO}"),
    "a move by nobody": ("I3", "update visit set automatic = true where visit_no = 1"),
    "a comment after its stage was left": ("I4", again("comment", HELLO)),
    "an outcome after its stage was left": ("I4", again("journal", f"event = 'done' and {HELLO}")),
    "a message that was begun after its stage was left": (
        "I4", f"update message set created_at = created_at + interval '1 hour' where {MESSAGE}"
    ),
    "a message that arrived and is called failed": (
        "I5", f"update message set state = 'failed' where {MESSAGE}"
    ),
    "an outcome without a line": ("I10", f"delete from journal where event = 'done' and {HELLO}"),
    "an outcome with two lines": ("I10", _twice("journal", f"event = 'done' and {HELLO}")),
    "a line that says something else": (
        "I10", f"update journal set event = 'skipped' where event = 'done' and {HELLO}"
    ),
    "a comment after the deletion": ("I12", again("comment", f"rule = 'hello' and record_id = {DEAD}")),
}  # fmt: skip


async def test_every_damage_is_found_and_a_good_end_is_good(scene: Scene) -> None:
    await scene.worker()
    _, deleted = await scene.create(many=2)
    await scene.under_way()
    await scene.until(lambda: _some_comment(scene, deleted), "it has said hello")
    await scene.delete(deleted)
    await scene.rest()
    assert await scene.wrong() == []
    mails = [(mail.message_id, mail.content) for mail in scene.sink.messages]
    await scene.close()
    log = Log(told=scene.told)
    for damage, (invariant, statements) in DAMAGES.items():
        found = await judged(scene, statements, mails, log)
        assert [said for said in found if said.startswith(f"{invariant} ")], f"{damage}: {found}"
    first, *others = mails
    nobodys, changed = ("<nobody@sent.it>", b""), (first[0], first[1] + b"!")
    for altered in (others, [*mails, first], [*mails, nobodys], [*mails, changed]):
        found = await judged(scene, "", altered, log)
        assert [said for said in found if said.startswith("I5 ")], found
    assert await judged(scene, "", mails, log) == []
    assert await judged(scene, "", mails, Log(told=[(deleted, 9, "won")]))


def test_the_checker_imports_nothing_of_the_product() -> None:
    parts = sorted(Path(checker.__file__).parent.glob("checker*.py"))
    named: list[str] = []
    for tree in (ast.parse(part.read_text()) for part in parts):
        named += [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
        named += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = {f"tests.chaos.{part.stem}" for part in parts}
    others = {name for name in named if name.partition(".")[0] not in sys.stdlib_module_names} - own
    assert (len(parts), others) == (3, {"asyncpg"})


async def _some_comment(scene: Scene, record: int) -> bool:
    return await scene.count("select count(*) from comment where record_id = $1", record) > 0


async def judged(
    scene: Scene,
    statements: str,
    mails: list[tuple[str, bytes]],
    log: Log,
) -> list[str]:
    """What the checker says of a copy of the scene's database after these statements."""
    server = scene.servers.cluster
    copy, original = f"copy_{uuid4().hex}", scene.url.rpartition("/")[2]
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"create database {copy} template {original}")
    connection = await asyncpg.connect(server.dsn(copy))
    try:
        if statements:
            await connection.execute("set session_replication_role = replica")  # no trigger forbids it
            await connection.execute(statements)
        return await checker.check(connection, mails, log)
    finally:
        await connection.close()
        await admin.execute(f"drop database {copy} with (force)")
        await admin.close()
