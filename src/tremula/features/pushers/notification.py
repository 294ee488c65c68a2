"""What a push gateway is told (Push Gateway API, ``notify``)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tremula.features.pushers.pusher import StoredPusher
from tremula.protocol.identifiers import EventId, RoomId

_ENCRYPTED = "m.room.encrypted"


class Subject(Struct, frozen=True, kw_only=True):
    """The event that a user is notified of, as they would see it."""

    event_id: EventId
    room_id: RoomId
    type: str
    sender: str
    content: Mapping[str, Any]
    ts_ms: int
    user_is_target: bool
    sender_display_name: str | None
    room_name: str | None
    room_alias: str | None


def tweaks_of(actions: Sequence[Any]) -> dict[str, Any]:
    """The tweaks of a rule's actions (CS "Actions").

    "If a `highlight` tweak is given with no value, its value is defined to be `true`."
    """
    tweaks: dict[str, Any] = {}
    for action in actions:
        if isinstance(action, dict) and isinstance(action.get("set_tweak"), str):
            name = action["set_tweak"]
            if "value" in action:
                tweaks[name] = action["value"]
            elif name == "highlight":
                tweaks[name] = True
    return tweaks


def about_event(
    subject: Subject,
    pushers: Sequence[StoredPusher],
    tweaks: Mapping[str, Any],
    *,
    unread: int,
) -> dict[str, Any]:
    """That there is an event; the *pushers* all want the same format."""
    notification: dict[str, Any] = {
        "event_id": subject.event_id,
        "room_id": subject.room_id,
        "prio": _priority(subject, tweaks),
        **_to(pushers, tweaks, unread=unread),
    }
    if pushers[0].pusher.is_event_id_only:
        return notification
    notification |= {
        "type": subject.type,
        "sender": subject.sender,
        "content": subject.content,
    }
    if subject.user_is_target:
        notification["user_is_target"] = True
    for name, value in (
        ("sender_display_name", subject.sender_display_name),
        ("room_name", subject.room_name),
        ("room_alias", subject.room_alias),
    ):
        if value is not None:
            notification[name] = value
    return notification


def about_counts(pushers: Sequence[StoredPusher], *, unread: int) -> dict[str, Any]:
    """That the user has read something; nobody needs to be woken by that."""
    return {"prio": "low", **_to(pushers, {}, unread=unread)}


def _priority(subject: Subject, tweaks: Mapping[str, Any]) -> str:
    """High for whatever makes itself heard, or might if it could be read."""
    is_loud = bool(tweaks.get("sound") or tweaks.get("highlight"))
    return "high" if is_loud or subject.type == _ENCRYPTED else "low"


def _to(
    pushers: Sequence[StoredPusher], tweaks: Mapping[str, Any], *, unread: int
) -> dict[str, Any]:
    # COMPAT(sygnal): "Counts whose value is zero should be omitted", but then it would
    # leave the badge of an iPhone as it was.
    return {
        "counts": {"unread": unread},
        "devices": [_device(each, tweaks) for each in pushers],
    }


def _device(stored: StoredPusher, tweaks: Mapping[str, Any]) -> dict[str, Any]:
    pusher = stored.pusher
    device: dict[str, Any] = {
        "app_id": pusher.key.app_id,
        "pushkey": pusher.key.pushkey,
        "pushkey_ts": stored.set_ts_ms // 1000,
        # "Servers MUST forward the entire content […] excluding `url`".
        "data": {name: value for name, value in pusher.data.items() if name != "url"},
    }
    if tweaks:
        device["tweaks"] = dict(tweaks)
    return device
