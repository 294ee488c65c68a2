"""The stage ``m.login.email.identity`` (CS "Email-based (identity / homeserver)")."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.features.third_party.service import Purpose
from tremula.features.third_party.validations import Validations
from tremula.features.uia.service import Attempt, Proof
from tremula.protocol.errors import BadJson, Forbidden, ThreepidAuthFailed
from tremula.protocol.identifiers import UserId

_PURPOSES: Final[Mapping[str, Purpose]] = {
    "register": Purpose.REGISTER,
    "changePassword": Purpose.RESET,
}


class EmailStage(Struct, frozen=True):
    """Somebody has proved that an address is theirs."""

    validations: Validations

    async def check(self, _user_id: UserId | None, attempt: Attempt) -> Proof:
        """Implements ``StageCheck``; proves an address on registration, else its owner.

        Raises:
            Forbidden: it is not proved, or for something else.
            BadJson: the attempt is malformed.
        """
        purpose = _PURPOSES.get(attempt.operation)
        if purpose is None:
            raise Forbidden("an e-mail address does not suffice here")
        creds = attempt.fields.get(
            "threepid_creds", attempt.fields.get("threepidCreds")
        )
        if not isinstance(creds, dict):
            raise BadJson("auth.threepid_creds must be an object")
        sid, client_secret = creds.get("sid"), creds.get("client_secret")
        if not isinstance(sid, str) or not isinstance(client_secret, str):
            raise BadJson("sid and client_secret must be strings")
        try:
            address = await self.validations.take(purpose, sid, client_secret)
        except ThreepidAuthFailed as failure:
            raise Forbidden(failure.message) from failure
        if purpose is Purpose.REGISTER:
            return Proof(address)
        owner = await self.validations.ids.owner_of(address)
        if owner is None:
            raise Forbidden("no account has this address any more")
        return Proof(owner)
