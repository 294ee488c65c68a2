"""A pusher as a client sets it, and as it is stored."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from tremula.infra.outbound.endpoint import HttpUrl
from tremula.infra.outbound.errors import BadUrl
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import DeviceId, UserId

EMAIL_APP_ID: Final = "m.email"
EVENT_ID_ONLY: Final = "event_id_only"

_NOTIFY_PATH: Final = "/_matrix/push/v1/notify"
_PUSHKEY_BYTES_MAX: Final = 512
_APP_ID_CHARS_MAX: Final = 64
_NAME_CHARS_MAX: Final = 512
_LANG_CHARS_MAX: Final = 64
_DATA_BYTES_MAX: Final = 8_192


class Kind(StrEnum):
    """How a pusher notifies."""

    HTTP = "http"
    EMAIL = "email"


class PusherKey(Struct, frozen=True):
    """What tells a user's pushers apart."""

    app_id: str
    pushkey: str


class Pusher(Struct, frozen=True, kw_only=True):
    """What a client says of a pusher."""

    key: PusherKey
    kind: Kind
    is_enabled: bool
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Where its push gateway is; ``kind`` is ``http``."""
        url: str = self.data["url"]
        return url

    @property
    def is_event_id_only(self) -> bool:
        """Whether its push gateway is not to learn what was said."""
        return self.data.get("format") == EVENT_ID_ONLY


class StoredPusher(Struct, frozen=True, kw_only=True):
    """A row of ``pushers``: what was set, by whom, and how far it has come."""

    user_id: UserId
    pusher: Pusher
    device_id: DeviceId | None
    set_ts_ms: int
    pos: int
    badge: int
    failures: int
    retry_at_ms: int
    unsubscribe_token: str | None

    @property
    def key(self) -> PusherKey:
        """That of the pusher."""
        return self.pusher.key


def parse_key(app_id: str, pushkey: str) -> PusherKey:
    """The key of a pusher within its bounds.

    Raises:
        InvalidParam: it is empty or too long.
    """
    if not 0 < len(app_id) <= _APP_ID_CHARS_MAX:
        raise InvalidParam(f"app_id has 1 to {_APP_ID_CHARS_MAX} characters")
    if not 0 < len(pushkey.encode()) <= _PUSHKEY_BYTES_MAX:
        raise InvalidParam(f"pushkey has 1 to {_PUSHKEY_BYTES_MAX} bytes")
    return PusherKey(app_id, pushkey)


def check_pusher(pusher: Pusher) -> None:
    """See that a pusher is one that can be kept and used.

    Raises:
        InvalidParam: it is not; the message says why.
    """
    for name in (
        pusher.app_display_name,
        pusher.device_display_name,
        pusher.profile_tag or "",
    ):
        if len(name) > _NAME_CHARS_MAX:
            raise InvalidParam(f"a name has at most {_NAME_CHARS_MAX} characters")
    if len(pusher.lang) > _LANG_CHARS_MAX:
        raise InvalidParam(f"lang has at most {_LANG_CHARS_MAX} characters")
    if len(orjson.dumps(pusher.data)) > _DATA_BYTES_MAX:
        raise InvalidParam(f"data has at most {_DATA_BYTES_MAX} bytes")
    if (pusher.kind is Kind.EMAIL) != (pusher.key.app_id == EMAIL_APP_ID):
        raise InvalidParam(f"app_id {EMAIL_APP_ID} is that of pushers by email")
    if pusher.kind is Kind.HTTP:
        _check_url(pusher.data.get("url"))


def _check_url(url: object) -> None:
    """CS postPusher: "MUST be an HTTPS URL with a path of
    `/_matrix/push/v1/notify`".
    """
    if not isinstance(url, str):
        raise InvalidParam("data has no url")
    try:
        parsed = HttpUrl.parse(url)
    except BadUrl as error:
        raise InvalidParam(f"url: {error}") from error
    if parsed.endpoint.tls_name is None or urlsplit(url).path != _NOTIFY_PATH:
        raise InvalidParam(f"url must be https and have the path {_NOTIFY_PATH}")
