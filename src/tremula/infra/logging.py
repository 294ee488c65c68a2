"""Structured logs: events with fields, and the request they belong to.

Modules log with ``log = structlog.get_logger(__name__)`` and
``log.info("pdu_rejected", event_id=…)``; never tokens, keys or message content.
"""

import logging
import sys
from contextvars import ContextVar
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tremula.infra.config import LogFormat, LogLevel

request_id: ContextVar[str] = ContextVar("request_id")
"""The request that is being answered. Set for each, so cheaper than structlog's own."""


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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _renderers(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format is LogFormat.TEXT:
        return [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                # The default shows local variables: tokens, passwords, messages.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _to_json(event: EventDict, **_: object) -> str:
    return orjson.dumps(event, default=repr).decode()


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (current := request_id.get(None)) is not None:
        event["request_id"] = current
    return event
