"""Lines of the log: fields, request IDs, libraries."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.logs import log_plainly
from tremula.infra.config import LogFormat, LogLevel
from tremula.infra.logging import configure_logging, request_id


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    """Where the log goes; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    log_plainly()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(log_stream: io.StringIO) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON, log_stream)

    structlog.get_logger("tremula.rooms").info("pdu_rejected", event_id="$a", rule="5")

    [line] = lines(log_stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "pdu_rejected",
        "event_id": "$a",
        "rule": "5",
        "level": "info",
        "logger": "tremula.rooms",
    }


def test_a_line_names_the_request_it_belongs_to(log_stream: io.StringIO) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON, log_stream)
    token = request_id.set("ab12-7")

    structlog.get_logger("tremula").info("mine")
    logging.getLogger("library").warning("theirs: %s", 1)
    request_id.reset(token)

    assert [(line["event"], line["request_id"]) for line in lines(log_stream)] == [
        ("mine", "ab12-7"),
        ("theirs: 1", "ab12-7"),
    ]


def test_a_traceback_stays_in_its_line(log_stream: io.StringIO) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON, log_stream)

    structlog.get_logger("tremula").error("failed", exc_info=KeyError("x"))

    [line] = lines(log_stream)
    assert "KeyError: 'x'" in line["exception"]


def test_what_is_below_the_level_is_not_written(log_stream: io.StringIO) -> None:
    configure_logging(LogLevel.WARNING, LogFormat.JSON, log_stream)

    structlog.get_logger("tremula").info("quiet")
    logging.getLogger("library").info("quiet")

    assert lines(log_stream) == []


def test_text_is_for_people(log_stream: io.StringIO) -> None:
    configure_logging(LogLevel.INFO, LogFormat.TEXT, log_stream)

    structlog.get_logger("tremula").info("listening", port=8008)

    assert "listening" in log_stream.getvalue()
    assert "port=8008" in log_stream.getvalue()
    assert "\x1b" not in log_stream.getvalue()


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_traceback_shows_no_local_variables(
    log_stream: io.StringIO, log_format: LogFormat
) -> None:
    configure_logging(LogLevel.INFO, log_format, log_stream)

    def log_in(password: str) -> None:
        raise RuntimeError(len(password))

    try:
        log_in("".join(["hunter", "2"]))
    except RuntimeError:
        structlog.get_logger("tremula").exception("failed")

    assert "RuntimeError: 7" in log_stream.getvalue()
    assert "hunter2" not in log_stream.getvalue()


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize(
    "code", ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x7f", "\x9b2J"]
)
def test_escape_codes_do_not_reach_the_terminal(
    log_stream: io.StringIO, log_format: LogFormat, code: str
) -> None:
    configure_logging(LogLevel.INFO, log_format, log_stream)
    log = structlog.get_logger("tremula")

    log.info("field", path=code, nested=[{code: code}])
    log.error("failed", exc_info=ValueError(code))
    logging.getLogger("library").warning("theirs: %s", code)

    assert code not in log_stream.getvalue()


@pytest.mark.parametrize("log_format", LogFormat)
def test_what_is_quoted_cannot_forge_a_line(
    log_stream: io.StringIO, log_format: LogFormat
) -> None:
    configure_logging(LogLevel.INFO, log_format, log_stream)

    logging.getLogger("library").warning("theirs: %s", "x\nforged")
    structlog.get_logger("tremula").info("field", path="x\nforged")

    lines = log_stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all("forged" in line for line in lines)


def test_a_peer_that_goes_amid_a_handshake_is_no_failure(
    log_stream: io.StringIO,
) -> None:
    configure_logging(LogLevel.INFO, LogFormat.JSON, log_stream)

    for error in (ConnectionResetError(), RuntimeError("a bug")):
        logging.getLogger("asyncio").error("never retrieved", exc_info=error)

    [line] = lines(log_stream)
    assert "a bug" in line["exception"]
