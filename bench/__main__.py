"""``python -m bench``: run it, or make the table of a run.

It starts each server on a free port with its data in a temporary directory, fsync on,
rate limits off and cheap password hashes (it makes thousands of users), and drives it
over HTTP. It checks what it receives: every message exactly once, and unchanged.
"""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench.federation.run import PARTS, FederationPlan, run_federation
from bench.federation.sizes import FULL, QUICK
from bench.results import Report, load_reports
from bench.run import Plan, run
from bench.scenarios import SCENARIOS
from bench.servers import NotStarted
from bench.starting import ALONE, ENGINES
from bench.table import markdown, put_into

# What is made of events later, such as an index, is gathered for five seconds.
_QUIET_S = 6.0
_QUIET_QUICK_S = 0.5


def main(arguments: Sequence[str]) -> int:
    """Do what *arguments* say; 1 if a check failed or a server did not start."""
    options = _parser().parse_args(arguments or ["run"])
    if options.command == "table":
        table = markdown(load_reports(options.files))
        if options.into:
            put_into(options.into, table)
        else:
            sys.stdout.write(table)
        return 0
    command = shlex.join(["python", "-m", "bench", *arguments])
    try:
        report = _report(options, command)
    except NotStarted as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(markdown(report))
    return int(any(result.error for result in report.results))


def _report(options: argparse.Namespace, command: str) -> Report:
    if options.command == "federation":
        return asyncio.run(run_federation(_federation_plan(options, command)))
    return run(_plan(options, command))


def _plan(options: argparse.Namespace, command: str) -> Plan:
    return Plan(
        scenarios={
            name: sizes.quick if options.quick else sizes.full
            for name, sizes in SCENARIOS.items()
            if name in options.only
        },
        engines=options.engines,
        synapse_venv=options.synapse_venv,
        rounds=options.rounds,
        quiet_s=_QUIET_QUICK_S if options.quick else _QUIET_S,
        folder=options.folder,
        file=options.file,
        command=command,
    )


def _federation_plan(options: argparse.Namespace, command: str) -> FederationPlan:
    return FederationPlan(
        sizes=QUICK if options.quick else FULL,
        parts=options.only,
        engines=options.engines,
        synapse_venv=options.synapse_venv,
        folder=options.folder,
        file=options.file,
        command=command,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="measure, and print the table")
    _add_run_options(run_parser, SCENARIOS, "latest.json")
    run_parser.add_argument(
        "--rounds", type=int, default=1, help="repeat it all; the table has medians"
    )
    federation = commands.add_parser("federation", help="the same of federation")
    _add_run_options(federation, PARTS, "federation.json")
    table = commands.add_parser("table", help="the table of result files, in Markdown")
    table.add_argument("files", nargs="+", type=Path, metavar="FILE")
    table.add_argument("--into", type=Path, help="put it between this file's marks")
    return parser


def _add_run_options(
    parser: argparse.ArgumentParser, parts: Collection[str], file: str
) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: a minute or two, to try it"
    )
    parser.add_argument(
        "--only",
        type=_names_of(parts),
        default=tuple(parts),
        help=f"some of {','.join(parts)}",
    )
    parser.add_argument(
        "--engines",
        type=_names_of(ENGINES),
        default=ALONE,
        help=f"some of {','.join(ENGINES)} ({','.join(ALONE)})",
    )
    parser.add_argument(
        "--synapse-venv",
        type=Path,
        metavar="PATH",
        help="measure Synapse in turns with it, from a virtual environment"
        " with matrix-synapse[postgres]",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where databases go: on the disk that is to be measured (the system's"
        " folder for temporary files, which may be in memory)",
    )
    parser.add_argument(
        "--file",
        type=Path,
        default=Path("bench/results") / file,
        help="where results are kept (%(default)s)",
    )


def _names_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return given

    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
