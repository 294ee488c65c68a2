"""The tree of commands, and the way from arguments to an exit code."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

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
    app = App("tremula", help="A Matrix homeserver.", version=_version)
    app.command("tremula.cli.serve:serve", name="serve")
    config = App("config", help="Look at the configuration.")
    config.command("tremula.cli.config:check", name="check")
    config.command("tremula.cli.config:example", name="example")
    app.command(config)
    user = App("user", help="Make and change accounts while the server is stopped.")
    for name in ("create", "list", "deactivate", "set-password", "make-admin"):
        user.command(f"tremula.cli.users:{name.replace('-', '_')}", name=name)
    app.command(user)
    token = App("token", help="Registration tokens, with which people make accounts.")
    for name in ("create", "list", "revoke"):
        token.command(f"tremula.cli.tokens:{name}", name=name)
    app.command(token)
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("tremula")


def _fail(message: str, exit_code: ExitCode) -> ExitCode:
    sys.stderr.write(f"tremula: {message}\n")
    return exit_code
