"""What the server can do, as clients ask for it."""

from collections.abc import Mapping
from typing import Any, Final

from tremula.infra.http import Requester
from tremula.protocol.room_versions import ROOM_VERSIONS

SPEC_VERSIONS: Final = tuple(f"v1.{minor}" for minor in range(1, 20))


class Capabilities:
    """The same for most users, so that each answer is made once."""

    def __init__(
        self,
        *,
        default_room_version: str,
        unstable_features: Mapping[str, bool],
        delayed_events: Mapping[str, int],
        changes_addresses: bool = False,
        forgets_left_rooms: bool = False,
    ) -> None:
        self.versions: Final[dict[str, Any]] = {
            "versions": list(SPEC_VERSIONS),
            "unstable_features": dict(unstable_features),
        }
        self._capabilities: Final[dict[str, Any]] = {
            "m.change_password": {"enabled": True},
            "m.room_versions": {
                "default": default_room_version,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.profile_fields": {"enabled": True},
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": {"enabled": True},
            "m.3pid_changes": {"enabled": changes_addresses},
            "m.get_login_token": {"enabled": True},
            "m.delayed_events": delayed_events,
            "org.matrix.msc4140.delayed_events": delayed_events,
            "m.forget_forced_upon_leave": {"enabled": forgets_left_rooms},
        }
        self._of_admins: Final = self._capabilities | {
            "m.account_moderation": {"suspend": True, "lock": True}
        }

    def of(self, requester: Requester) -> Mapping[str, Any]:
        """What a user may do here."""
        return self._of_admins if requester.is_admin else self._capabilities
