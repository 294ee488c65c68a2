"""The tree of commands, and the way from arguments to an exit code."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from tremula import __version__
from tremula.cli.failures import CommandFailed, ExitCode


def run(arguments: Sequence[str]) -> ExitCode:
    """Run one command. What an operator can mend is told in one line on stderr."""
    try:
        _app()(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_none",
        )
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()), ExitCode.CONFIG)
    except CommandFailed as failure:
        return _fail(str(failure), failure.exit_code)
    return ExitCode.OK


def _app() -> App:
    """The commands, named by import path: only the one that runs is imported."""
    app = App(
        "tremula",
        help="A Matrix homeserver.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=False),
    )
    app.command("tremula.cli.serve:serve", name="serve", help="Run the server.")
    app.command(
        "tremula.cli.doctor.command:doctor",
        name="doctor",
        help="Look for what keeps others from reaching the server.",
    )
    for path, name, purpose in (
        ("tremula.cli.config:app", "config", "Look at the configuration."),
        ("tremula.cli.users:app", "user", "Accounts; on SQLite, stop the server."),
        ("tremula.cli.rooms:app", "room", "Look at, block and delete rooms; likewise."),
        ("tremula.cli.notices:app", "notice", "Tell users something; likewise."),
        ("tremula.cli.appservices:app", "appservice", "Bridges and their like."),
        ("tremula.cli.reports:app", "report", "What users report; likewise."),
        ("tremula.cli.tokens:app", "token", "Registration tokens; likewise."),
        ("tremula.cli.keys:app", "key", "The signing key; likewise."),
        ("tremula.cli.search:app", "search", "What is found by; likewise."),
        ("tremula.cli.media:app", "media", "Files; likewise."),
        ("tremula.cli.database:app", "database", "Copy a whole database."),
        ("tremula.cli.cluster:app", "cluster", "The processes of a server."),
        ("tremula.cli.certificates:app", "cert", "Certificates for trials."),
    ):
        app.command(path, name=name, help=purpose)
    return app


def _fail(message: str, exit_code: ExitCode) -> ExitCode:
    sys.stderr.write(f"tremula: {message}\n")
    return exit_code
