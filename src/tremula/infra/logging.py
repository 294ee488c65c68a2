"""Structured logs: events with fields, and the request they belong to.

Modules log with ``log = structlog.get_logger(__name__)`` and
``log.info("pdu_rejected", event_id=…)``; never tokens, keys or message content.
"""

import logging
import re
import sys
from contextvars import ContextVar
from io import StringIO
from secrets import token_hex
from typing import Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from tremula.infra.config import LogFormat, LogLevel

request_id: ContextVar[int | str] = ContextVar("request_id")
"""The request that is being answered: its number here, or what a proxy calls it. Set
for each, so cheaper than structlog's own.
"""

# Random: it tells processes apart.
_PROCESS: Final = token_hex(2)

# What a terminal may obey: a line of the log may quote what a peer has sent.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES: Final = re.compile(r"(?![\t\n])[\x00-\x1f\x7f-\x9f]")


def request_name(current: int | str) -> str:
    """What logs call a request of this `request_id`; few are ever spoken of."""
    return current if isinstance(current, str) else f"{_PROCESS}-{current:x}"


def configure_logging(
    level: LogLevel, log_format: LogFormat, stream: TextIO = sys.stderr
) -> None:
    """Send every log line, also those of libraries, to *stream*."""
    shared: list[Processor] = [
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *shared,
                structlog.stdlib.PositionalArgumentsFormatter(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, stream),
            ],
        )
    )
    handler.addFilter(_tells_more_than_a_hang_up)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _tells_more_than_a_hang_up(record: logging.LogRecord) -> bool:
    """Whether *record* is anything but a peer that went amid a TLS handshake, of whose
    end uvloop may keep a future that nobody awaits.
    """
    if record.name != "asyncio" or not record.exc_info:
        return True
    return not isinstance(record.exc_info[1], ConnectionError)


def _renderers(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format is LogFormat.TEXT:
        return [
            _escape_values,
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                # The default shows local variables: tokens, passwords, messages.
                exception_formatter=_write_traceback,
            ),
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _escape_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CONTROL.sub(_escaped, value)
    return event


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    lines = StringIO()
    structlog.dev.plain_traceback(lines, exc_info)
    stream.write(_CONTROL_IN_LINES.sub(_escaped, lines.getvalue()))


def _to_json(event: EventDict, **_: object) -> str:
    return _CONTROL.sub(_escaped, orjson.dumps(event, default=repr).decode())


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (current := request_id.get(None)) is not None:
        event["request_id"] = request_name(current)
    return event
