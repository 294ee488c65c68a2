"""Events, all in one place to import from: values, building, checking, hashing.

An event is kept as two byte strings that never share a key: ``client_json``, what
clients see (without ``unsigned``), and ``server_json``, the rest of the PDU.
"""

from tremula.protocol.event_building import build_event, pdu_json
from tremula.protocol.event_format import check_size, parse_pdu
from tremula.protocol.event_values import BuiltEvent, Event, EventDraft
from tremula.protocol.hashes import content_hash, event_id_of, reference_hash
from tremula.protocol.redaction import redact, redact_client_event

__all__ = [
    "BuiltEvent",
    "Event",
    "EventDraft",
    "build_event",
    "check_size",
    "content_hash",
    "event_id_of",
    "parse_pdu",
    "pdu_json",
    "redact",
    "redact_client_event",
    "reference_hash",
]
