"""What clients send to set pushers."""

from typing import Any, Final

URL: Final = "https://push.example.org/_matrix/push/v1/notify"


def http_pusher(pushkey: str = "key", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The body of CS postPusher for a phone; what is changed to None is left out."""
    body = {
        "pushkey": pushkey,
        "kind": "http",
        "app_id": "org.example.app.android",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": URL, "format": "event_id_only"},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}
