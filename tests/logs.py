"""How the tests' process logs, which pytest shows of tests that fail."""

import structlog


def log_plainly() -> None:
    """Log as structlog does by itself, but exceptions without all their variables.

    To write down those of a whole server takes seconds.
    """
    structlog.reset_defaults()
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(
        exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*processors, renderer])
