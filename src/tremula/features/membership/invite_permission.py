"""Users who do not want to be invited (CS module "Invite permission")."""

from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.protocol.errors import InviteBlocked, NotFound
from tremula.protocol.identifiers import UserId

_CONFIG: Final = "m.invite_permission_config"


class InvitePermission(Struct, frozen=True):
    """Asks users' account data whether they take invitations."""

    account_data: AccountData

    async def check(self, invitee: UserId) -> None:
        """Refuse to invite a local user who blocks invitations.

        Raises:
            InviteBlocked: *invitee* does.
        """
        if await self.is_blocked(invitee):
            raise InviteBlocked(f"{invitee} does not accept invitations")

    async def is_blocked(self, invitee: UserId) -> bool:
        """Whether a local user takes no invitations."""
        try:
            config: dict[str, Any] = orjson.loads(
                await self.account_data.get(invitee, _CONFIG)
            )
        except NotFound:
            return False
        action: object = config.get("default_action")
        return action == "block"
