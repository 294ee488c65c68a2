"""Push rules as values (CS "Push Rules")."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

Action = str | dict[str, Any]

NOTIFY: Final = "notify"
SET_TWEAK: Final = "set_tweak"
HIGHLIGHT: Final = "highlight"


class RuleKind(StrEnum):
    """The kinds of rules, in the order in which they are checked."""

    OVERRIDE = "override"
    CONTENT = "content"
    # MSC4306: predefined rules only.
    POSTCONTENT = "postcontent"
    ROOM = "room"
    SENDER = "sender"
    UNDERRIDE = "underride"


class Rule(Struct, frozen=True, omit_defaults=True):
    """A rule, whose kind is where it stands.

    ``conditions`` belong to overrides and underrides, ``pattern`` to content rules.
    """

    rule_id: str
    actions: tuple[Action, ...]
    enabled: bool = True
    conditions: tuple[Mapping[str, Any], ...] | None = None
    pattern: str | None = None


class RuleChange(Struct, frozen=True, omit_defaults=True):
    """What a user has changed of a predefined rule; None: nothing."""

    enabled: bool | None = None
    actions: tuple[Action, ...] | None = None
