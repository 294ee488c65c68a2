"""The fields of events that a filter asks for (CS ``Filter``: ``event_fields``)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Union

from msgspec import Struct

# What a property path leads through: names, and below them names or all there is.
_Tree = dict[str, Union["_Tree", None]]

# Without these an event is none: "A server may include more fields than were
# requested."
_KEPT: Final = ("event_id", "type", "sender", "state_key", "origin_server_ts")


class EventFields(Struct, frozen=True):
    """Chooses fields of events by property paths, in the time that an event takes."""

    tree: _Tree

    @classmethod
    def of(cls, paths: Iterable[str]) -> "EventFields":
        """The fields that *paths* lead to (AP "Dot-separated property paths")."""
        tree: _Tree = dict.fromkeys(_KEPT)
        tree["content"] = {}
        for path in paths:
            _plant(tree, split_path(path))
        return cls(tree)

    def select(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """*event* with no other fields than those chosen and those that it needs."""
        return _select(event, self.tree)


def split_path(path: str) -> tuple[str, ...]:
    r"""Split at dots that no backslash escapes (AP "Dot-separated property paths").

    ``\.`` and ``\\`` stand for a dot and a backslash; others are left as they are.
    """
    names, name, at = [], "", 0
    while at < len(path):
        char, following = path[at], path[at + 1 : at + 2]
        if char == "\\" and following in {".", "\\"}:
            name += following
            at += 1
        elif char == ".":
            names.append(name)
            name = ""
        else:
            name += char
        at += 1
    return (*names, name)


def _plant(tree: _Tree, names: tuple[str, ...]) -> None:
    *parents, last = names
    for name in parents:
        below = tree.setdefault(name, {})
        if below is None:
            # A shorter path asks for all of it.
            return
        tree = below
    tree[last] = None


def _select(value: Mapping[str, Any], tree: _Tree) -> dict[str, Any]:
    selected: dict[str, Any] = {}
    for name, below in value.items():
        if name not in tree:
            continue
        subtree = tree[name]
        if subtree is None:
            selected[name] = below
        elif isinstance(below, Mapping):
            selected[name] = _select(below, subtree)
    return selected
