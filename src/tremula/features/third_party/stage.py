"""The stage ``m.login.email.identity`` (CS "Email-based (identity / homeserver)")."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.features.third_party.service import Purpose
from tremula.features.third_party.storage import Session
from tremula.features.third_party.validations import Validations
from tremula.features.uia.service import Attempt, Proof
from tremula.infra.db import Unit
from tremula.protocol.errors import BadJson, Forbidden, ThreepidAuthFailed
from tremula.protocol.identifiers import UserId
from tremula.protocol.unprinted import Unprinted

_PURPOSES: Final[Mapping[str, Purpose]] = {
    "register": Purpose.REGISTER,
    "changePassword": Purpose.RESET,
}


class _Unused(Unprinted, frozen=True):
    """Implements ``Guard``: what proves the address has not been used up."""

    stage: "EmailStage"
    session: Session
    client_secret: str

    async def check(self) -> None:
        session = self.session
        await self.stage.proved(session.purpose, session.sid, self.client_secret)

    def hold(self, unit: Unit) -> None:
        self.stage.validations.use(unit, self.session)


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
        session = await self.proved(purpose, sid, client_secret)
        unused = _Unused(self, session, client_secret)
        if purpose is Purpose.REGISTER:
            return Proof(session.address, unused)
        owner = await self.validations.ids.owner_of(session.address)
        if owner is None:
            raise Forbidden("no account has this address any more")
        return Proof(owner, unused)

    async def proved(self, purpose: Purpose, sid: str, client_secret: str) -> Session:
        """The session in which an address was proved.

        Raises:
            Forbidden: it is not proved, or the session was used up.
        """
        try:
            return await self.validations.proved(purpose, sid, client_secret)
        except ThreepidAuthFailed as failure:
            raise Forbidden(failure.message) from failure
