"""The conditions of push rules (CS "Conditions"), compiled to be asked often."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.events import Event
from tremula.protocol.globs import Glob, words_of
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.property_paths import parse_property_path
from tremula.protocol.relations import THREAD

OWN_ID: Final = "\0own user ID"
"""Stands in predefined rules for the ID of the user whose rules they are."""

EVALUATION_COST_MAX: Final = 500_000
"""How much the globs of one ruleset may look at in an event: a few milliseconds. What
would take more does not match.
"""

THREAD_SUBSCRIPTION: Final = "io.element.msc4306.thread_subscription"

PROPERTY_IS: Final = "event_property_is"
_OF_PROPERTIES: Final = ("event_match", PROPERTY_IS, "event_property_contains")

TYPE: Final = ("type",)
_RELATION: Final = ("content", "m.relates_to", "rel_type")
_BODY: Final = ("content", "body")
_STATE_KEY: Final = ("state_key",)
_MENTIONED: Final = ("content", "m.mentions", "user_ids")
_COUNT: Final = re.compile("(==|<=|>=|<|>)?([0-9]{1,18})")
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ABSENT: Final = object()
_NO_WORDS: Final[frozenset[str]] = frozenset()

Path = tuple[str, ...]


class Reader(Struct, frozen=True):
    """What depends on who is notified: how the event names them, and whether they are
    subscribed to the thread that it is in.
    """

    is_mentioned: bool = False
    is_state_key: bool = False
    display_name: str | None = None
    is_subscribed: bool = False


ANYBODY: Final = Reader()
"""Whoever the event does not name, and who has not subscribed to its thread."""


class PushEvent:
    """An event as conditions look at it: each property is looked up once.

    ``spent`` is what globs have looked at for the ruleset that is being evaluated.
    """

    __slots__ = (
        "_properties",
        "_root",
        "_texts",
        "_words",
        "asked_type",
        "content",
        "member_count",
        "power_levels",
        "sender",
        "spent",
    )

    def __init__(
        self, event: Event, *, member_count: int, power_levels: PowerLevels
    ) -> None:
        self._root: dict[str, object] = {
            "type": event.type,
            "sender": event.sender,
            "room_id": event.room_id,
            "event_id": event.event_id,
            "origin_server_ts": event.origin_server_ts,
            "content": event.content,
        }
        if event.state_key is not None:
            self._root["state_key"] = event.state_key
        self._properties: dict[Path, object] = {}
        self.asked_type = event.type.lower()
        """As rules ask for it, whatever its case."""
        self._texts: dict[Path, str | None] = {TYPE: self.asked_type}
        self._words: frozenset[str] | None = None
        self.content = event.content
        self.sender = event.sender
        self.member_count = member_count
        self.power_levels = power_levels
        self.spent = 0

    def property(self, path: Path) -> object:
        """What is at *path*; ``_ABSENT`` if nothing is."""
        if path in self._properties:
            return self._properties[path]
        value: object = self._root
        for name in path:
            value = value.get(name, _ABSENT) if isinstance(value, dict) else _ABSENT
        self._properties[path] = value
        return value

    def text(self, path: Path) -> str | None:
        """The string at *path*, in lower case, if there is one."""
        try:
            return self._texts[path]
        except KeyError:
            value = self.property(path)
            text = value.lower() if isinstance(value, str) else None
            self._texts[path] = text
            return text

    def fits(self, glob: Glob, path: Path) -> bool:
        """Whether *glob* matches the string at *path*, as far as that may be found out:
        see `EVALUATION_COST_MAX`.
        """
        text = self.text(path)
        if text is None:
            return False
        cost = glob.cost(text)
        if cost:
            self.spent += cost
            if self.spent > EVALUATION_COST_MAX:
                return False
        return glob.matches(text, self._words_of(text) if glob.by_words else _NO_WORDS)

    def _words_of(self, body: str) -> frozenset[str]:
        # Patterns by words are all matched against the body.
        if self._words is None:
            self._words = words_of(body)
        return self._words


Condition = Callable[[PushEvent, Reader], bool]


def compile_condition(
    condition: Mapping[str, Any], *, is_predefined: bool = False
) -> Condition | None:
    """*condition* as a function; None if it never holds, as one of an unknown kind.

    `OWN_ID` has its meaning in predefined rules only.
    """
    compiler = _COMPILERS.get(condition.get("kind", ""))
    if is_predefined and OWN_ID in condition.values():
        compiler = _compile_own
    return compiler(condition) if compiler else None


def literal_type(condition: Mapping[str, Any]) -> str | None:
    """The type, in lower case, without which *condition* is not met, if it names one.

    A match is met by that type in any case, `PROPERTY_IS` in one case only.
    """
    if condition.get("key") != "type":
        return None
    kind, pattern = condition.get("kind"), condition.get("pattern")
    if kind == PROPERTY_IS:
        value = condition.get("value")
        return value.lower() if isinstance(value, str) else None
    if kind != "event_match" or not isinstance(pattern, str):
        return None
    return pattern.lower() if _is_literal(pattern) else None


def content_key_of(condition: Mapping[str, Any]) -> str | None:
    """The key without which in an event's content *condition* is not met, if there is
    one.
    """
    key = condition.get("key")
    if condition.get("kind") not in _OF_PROPERTIES or not isinstance(key, str):
        return None
    if OWN_ID in condition.values():
        return None
    path = parse_property_path(key)
    return path[1] if len(path) > 1 and path[0] == "content" else None


def in_body(pattern: str) -> Condition:
    """That *pattern* matches part of the body (CS "Content-specific rules")."""
    glob = Glob(pattern, by_words=True)
    return lambda event, _: event.fits(glob, _BODY)


def equals(name: str, value: str) -> Condition:
    """That a top-level property is just *value*."""
    path = (name,)
    return lambda event, _: event.property(path) == value


def _is_literal(pattern: str) -> bool:
    return "*" not in pattern and "?" not in pattern


def _compile_own(condition: Mapping[str, Any]) -> Condition:
    if parse_property_path(condition["key"]) == _MENTIONED:
        return lambda _, reader: reader.is_mentioned
    assert condition["key"] == "state_key"
    return lambda _, reader: reader.is_state_key


def _compile_match(condition: Mapping[str, Any]) -> Condition | None:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return None
    path = parse_property_path(key)
    if path == _BODY:
        return in_body(pattern)
    if _is_literal(pattern):
        literal = pattern.lower()
        return lambda event, _: event.text(path) == literal
    glob = Glob(pattern, by_words=False)
    return lambda event, _: event.fits(glob, path)


def _compile_is(condition: Mapping[str, Any]) -> Condition | None:
    key, value = condition.get("key"), condition.get("value", _ABSENT)
    if not isinstance(key, str) or not is_scalar(value):
        return None
    path, kind = parse_property_path(key), type(value)

    def holds(event: PushEvent, _: Reader) -> bool:
        found = event.property(path)
        # Not only `==`: True is 1 in Python.
        return type(found) is kind and found == value

    return holds


def _compile_contains(condition: Mapping[str, Any]) -> Condition | None:
    key, value = condition.get("key"), condition.get("value", _ABSENT)
    if not isinstance(key, str) or not is_scalar(value):
        return None
    path, kind = parse_property_path(key), type(value)

    def holds(event: PushEvent, _: Reader) -> bool:
        found = event.property(path)
        if not isinstance(found, list):
            return False
        return any(type(each) is kind and each == value for each in found)

    return holds


def _compile_count(condition: Mapping[str, Any]) -> Condition | None:
    compared = parse_member_count(condition.get("is"))
    if compared is None:
        return None
    comparison, count = compared
    return lambda event, _: comparison(event.member_count, count)


def _compile_permission(condition: Mapping[str, Any]) -> Condition | None:
    key = condition.get("key")
    if not isinstance(key, str):
        return None

    def holds(event: PushEvent, _: Reader) -> bool:
        levels = event.power_levels
        return levels.user(event.sender) >= levels.notification(key)

    return holds


def _compile_display_name(_: Mapping[str, Any]) -> Condition:
    def holds(event: PushEvent, reader: Reader) -> bool:
        if not reader.display_name:
            return False
        return event.fits(Glob.of_phrase(reader.display_name), _BODY)

    return holds


def _compile_subscription(condition: Mapping[str, Any]) -> Condition | None:
    wanted = condition.get("subscribed")
    if not isinstance(wanted, bool):
        return None

    def holds(event: PushEvent, reader: Reader) -> bool:
        return event.property(_RELATION) == THREAD and reader.is_subscribed is wanted

    return holds


def is_scalar(value: object) -> bool:
    """Whether *value* is "a non-compound canonical JSON value"."""
    return value is None or isinstance(value, str | int)


def parse_member_count(
    value: object,
) -> tuple[Callable[[int, int], bool], int] | None:
    """What ``is`` of a ``room_member_count`` says; None if that is malformed."""
    match = _COUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return _COMPARISONS[match[1] or "=="], int(match[2])


_COMPILERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Condition | None]]] = {
    "event_match": _compile_match,
    PROPERTY_IS: _compile_is,
    "event_property_contains": _compile_contains,
    "room_member_count": _compile_count,
    "sender_notification_permission": _compile_permission,
    "contains_display_name": _compile_display_name,
    THREAD_SUBSCRIPTION: _compile_subscription,
}
