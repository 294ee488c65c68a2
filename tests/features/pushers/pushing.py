"""What clients send to set pushers, and pushers and events to be notified of."""

from typing import Any, Final

from tremula.features.pushers.notification import Subject
from tremula.features.pushers.pusher import Kind, Pusher, PusherKey, StoredPusher
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, UserId

URL: Final = "https://push.example.org/_matrix/push/v1/notify"
APP_ID: Final = "org.example.app.android"
ALICE: Final = UserId("@alice:test")


def http_pusher(pushkey: str = "key", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The body of CS postPusher for a phone; what is changed to None is left out."""
    body = {
        "pushkey": pushkey,
        "kind": "http",
        "app_id": APP_ID,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": URL, "format": "event_id_only"},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def stored_pusher(
    pushkey: str = "key",
    *,
    user_id: UserId = ALICE,
    kind: Kind = Kind.HTTP,
    app_id: str = APP_ID,
    url: str = URL,
    retry_at_ms: int = 0,
    **data: object,
) -> StoredPusher:
    """A pusher that nothing has been sent to."""
    return StoredPusher(
        user_id=user_id,
        pusher=Pusher(
            key=PusherKey(app_id, pushkey),
            kind=kind,
            is_enabled=True,
            app_display_name="App",
            device_display_name="Phone",
            profile_tag=None,
            lang="en",
            data={"url": url, **data},
        ),
        device_id=DeviceId("PHONE"),
        set_ts_ms=1_782_000_000_123,
        pos=0,
        badge=0,
        failures=int(retry_at_ms > 0),
        retry_at_ms=retry_at_ms,
        unsubscribe_token=None,
    )


def subject(**changes: Any) -> Subject:  # noqa: ANN401 - whatever it has
    """A message from Bob."""
    fields: dict[str, Any] = {
        "event_id": EventId("$event"),
        "room_id": RoomId("!room"),
        "type": "m.room.message",
        "sender": "@bob:test",
        "content": {"msgtype": "m.text", "body": "Hello"},
        "ts_ms": 1_782_000_000_000,
        "user_is_target": False,
        "sender_display_name": None,
        "room_name": None,
        "room_alias": None,
    }
    return Subject(**{**fields, **changes})
