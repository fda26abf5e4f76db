"""The entry point: python -m app.school_schedule COMMAND."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

if not __package__:
    # Called as a file: the folder that has the package `app` is one up.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Exit codes: 0 done, or ended by SIGTERM; 1 it could not be done; 2 the command or a file is at fault; 130 Ctrl-C.
    """
    options = parse(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    """Runs the command of a command line; what is wrong is one line on standard error and the exit code."""
    if options.command == "credentials":
        # Pods wait for it, and it needs nothing that takes long to load.
        from app import cluster

        return cluster.run(options.wait)
    # Here, not above: --help need not wait for them, nor Ctrl-C.
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from app import commands, settings
    from app.database import DatabaseError, explain
    from app.engine.xhstt import XhsttError

    try:
        loaded = settings.load()
    except ValidationError as error:
        first = error.errors()[0]
        return complain(f"setting {str(first['loc'][0]).upper()}: {first['msg']}", 2)
    try:
        return commands.run(options, loaded)
    except XhsttError as error:
        return complain(str(error), 2)
    except (DatabaseError, commands.CommandError) as error:
        return complain(str(error), 1)
    except DBAPIError as error:
        return complain(explain(error, loaded), 1)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; a wrong one ends the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="school_schedule", description="Makes a school's weekly timetable.")
    commands = parser.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="the web application; on SQLite with migration, examples and a worker")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    serve.add_argument("--reload", action="store_true", help="start again when a file changes (development)")
    serve.add_argument(
        "--invite",
        action=argparse.BooleanOptionalAction,
        help="print the link of the first account (on SQLite, unless output is no terminal and so may be a log)",
    )

    commands.add_parser("work", help="run queued generations until stopped")

    generate = commands.add_parser("generate", help="search now, without a browser")
    source = generate.add_mutually_exclusive_group(required=True)
    source.add_argument("--xhstt", type=Path, metavar="FILE", help="an instance in the XHSTT format")
    source.add_argument("--database", action="store_true", help="every instance of the database; the better is kept")
    generate.add_argument("--seconds", type=_seconds, help="how long to search each (GENERATION_SECONDS)")
    generate.add_argument("--seed", type=int, default=1, help="another seed, another search (%(default)s)")
    generate.add_argument("--out", type=Path, metavar="FILE", help="where to write the solution, in the XHSTT format")

    explain = commands.add_parser("explain", help="why an instance has no timetable")
    explain.add_argument("--xhstt", type=Path, metavar="FILE", required=True, help="an instance in the XHSTT format")
    explain.add_argument("--seconds", type=_seconds, default=5, help="how long to look for reasons (%(default)s)")

    repair = commands.add_parser("repair", help="change a timetable as little as possible")
    repair.add_argument("--xhstt", type=Path, metavar="FILE", required=True, help="an instance with its solution")
    repair.add_argument(
        "--away",
        nargs="+",
        action="append",
        default=[],
        metavar=("RESOURCE", "TIME"),
        help="who cannot attend lessons at which times or time groups",
    )
    for name, text in (("--move", "a lesson that has to leave its time"), ("--lock", "a lesson that has to stay")):
        repair.add_argument(name, nargs=2, action="append", default=[], metavar=("EVENT", "TIME"), help=text)
    repair.add_argument("--seconds", type=_seconds, default=5, help="how long to search (%(default)s)")
    repair.add_argument("--out", type=Path, metavar="FILE", help="where to write the solution, in the XHSTT format")

    wishes = commands.add_parser("wishes", help="what each constraint that is not required costs")
    wishes.add_argument("--xhstt", type=Path, metavar="FILE", required=True, help="an instance with its solution")
    wishes.add_argument("--seconds", type=_seconds, help="search for what giving each up would save, so long in all")

    load = commands.add_parser("import", help="put XHSTT instances into the database and ask for their timetables")
    load.add_argument("files", type=Path, nargs="+", metavar="FILE")

    migrate = commands.add_parser("migrate", help="create or update the tables, and import the examples")
    migrate.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="for the database to come up")

    accounts = commands.add_parser("accounts", help="make the accounts of the MySQL server, or correct them")
    accounts.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="for the database to come up")
    accounts.add_argument("--forget", action="store_true", help="refuse the passwords that were replaced")

    credentials = commands.add_parser("credentials", help="in a cluster: add what Secret db-credentials lacks")
    credentials.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="for a person to make it")

    account = commands.add_parser("account", help="a new link by which the first account is made")
    account.add_argument("--url", default="http://127.0.0.1:8000", help="where the pages are (%(default)s)")

    password = commands.add_parser("password", help="a new password for somebody who forgot theirs")
    password.add_argument("email", help="the account's e-mail address")

    commands.add_parser("check", help="read all that the pages read; non-zero when something is amiss")
    options = parser.parse_args(arguments)
    if options.command == "generate" and options.database and options.out:
        generate.error("--out goes with --xhstt; what --database finds stays in the database")
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length of time; give more than 0")
    return seconds


def complain(message: str, code: int) -> int:
    """One line for the person at the terminal."""
    print(f"school_schedule: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
