"""New accounts: for everyone, for those with a token, or for guests."""

import secrets
import string
from typing import Final, Protocol

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.appservices.service import Appservices
from tremula.features.devices.service import LoggedIn, NewDevice
from tremula.features.registration.tokens import RegistrationTokens
from tremula.features.uia.service import Authenticated, Flow, Stage, digest_of
from tremula.features.users.service import User, check_new_password
from tremula.infra.clock import Clock
from tremula.infra.config import EmailPolicy, Registration, RegistrationMode
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import (
    Exclusive,
    Forbidden,
    MissingParam,
    ThreepidInUse,
    UserInUse,
)
from tremula.protocol.identifiers import UserId
from tremula.protocol.unprinted import Unprinted

_FLOWS: Final[dict[RegistrationMode, dict[EmailPolicy, tuple[Flow, ...]]]] = {
    RegistrationMode.OPEN: {
        EmailPolicy.OPTIONAL: ((Stage.DUMMY,), (Stage.EMAIL,)),
        EmailPolicy.REQUIRED: ((Stage.EMAIL,),),
    },
    RegistrationMode.TOKEN: {
        EmailPolicy.OPTIONAL: (
            (Stage.REGISTRATION_TOKEN,),
            (Stage.REGISTRATION_TOKEN, Stage.EMAIL),
        ),
        EmailPolicy.REQUIRED: ((Stage.REGISTRATION_TOKEN, Stage.EMAIL),),
    },
}

# Clients ask for the flows with an empty request before they know the username, and
# go on in the same session: so that a session does not hold them to their first body.
_ANY_REQUEST: Final = digest_of({})

_USERS_TABLE: Final = "users"
_GENERATED_CHARS: Final = 12
_GENERATED_ALPHABET: Final = string.ascii_lowercase + string.digits


class NewContacts(Protocol):
    """Takes the addresses that new users have proved; the third_party feature does."""

    @property
    def table(self) -> str:
        """Names the conflict of two users with one address."""
        ...

    def add_to(self, unit: JournalUnit, user_id: UserId, address: EmailAddress) -> None:
        """Give a new user an address; *unit* fails if somebody else has it."""
        ...

    async def deliver(self, user_id: UserId, address: EmailAddress) -> None:
        """Let a new user have the invitations of their address."""
        ...


class RegistrationRequest(Unprinted, frozen=True):
    """What someone wants; ``device`` None: no login."""

    username: str | None
    password: str | None
    device: NewDevice | None
    auth: object


class Registrations(Struct, frozen=True):
    """Makes accounts over the client-server API, as far as ``policy`` allows."""

    journal: Journal
    clock: Clock
    accounts: Accounts
    contacts: NewContacts
    appservices: Appservices
    tokens: RegistrationTokens
    policy: Registration

    async def check_username(self, username: str) -> UserId:
        """The user ID that *username* would get.

        Raises:
            Forbidden: nobody can register.
            InvalidUsername: it cannot be a username.
            Exclusive: it is kept for an application service.
            UserInUse: it is taken.
        """
        self._get_flows()
        user_id = self.accounts.parse_new_localpart(username)
        self._check_not_claimed(user_id)
        await self.accounts.check_available(user_id)
        return user_id

    async def is_token_valid(self, token: str) -> bool:
        """Whether *token* would let someone register.

        Raises:
            Forbidden: nobody can register.
        """
        self._get_flows()
        return await self.tokens.is_valid(token)

    async def register(self, request: RegistrationRequest) -> UserId | LoggedIn:
        """Make an account, once the request is authenticated, and log in.

        Raises:
            Forbidden: nobody can register, or not with this token any more.
            InvalidUsername, UserInUse, WeakPassword, InvalidParam: see the message.
            Exclusive: the name is kept for an application service.
            MissingParam: there is no password.
            UiaRequired: stages are still to be completed.
            LimitExceeded: too many passwords are being hashed.
        """
        flows = self._get_flows()
        # "Homeservers MUST perform the relevant checks and return these codes before
        # performing User-Interactive Authentication."
        if request.username is None:
            user_id = self._generate_user_id("")
        else:
            user_id = await self.check_username(request.username)
        if request.password is not None:
            check_new_password(request.password)
        elif _is_attempt(request.auth):
            raise MissingParam("missing key 'password'")
        proof = await self.accounts.uia.require(
            None, "register", request.auth, _ANY_REQUEST, flows=flows
        )
        if request.password is None:
            raise MissingParam("missing key 'password'")
        user = await self.accounts.new_user(user_id, request.password)
        added = await reread_on_conflict(lambda: self._add(user, request.device, proof))
        email = proof.completed.get(Stage.EMAIL)
        if email is not None:
            await self.contacts.deliver(user.user_id, EmailAddress(email))
        return added

    async def register_guest(self, device: NewDevice) -> UserId | LoggedIn:
        """Make a guest account, which has no password, and log in.

        Raises:
            Forbidden: guests are not welcome here.
            Exclusive: all names are kept for an application service.
        """
        if not self.policy.guests:
            raise Forbidden("this server takes no guests")
        guest = User(
            user_id=self._generate_user_id("guest-"),
            password_hash=None,
            created_ts_ms=self.clock.now_ms(),
            is_admin=False,
            is_guest=True,
        )
        return await self._add(guest, device, None)

    async def _add(
        self, user: User, device: NewDevice | None, proof: Authenticated | None
    ) -> UserId | LoggedIn:
        unit = await self.accounts.uia.unit_by(proof)
        completed = {} if proof is None else proof.completed
        token = completed.get(Stage.REGISTRATION_TOKEN)
        email = completed.get(Stage.EMAIL)
        if token is not None:
            self.tokens.use(unit, token)
        if email is not None:
            self.contacts.add_to(unit, user.user_id, EmailAddress(email))
        self.accounts.add(unit, user)
        added: UserId | LoggedIn = user.user_id
        if device is not None:
            added = self.accounts.devices.log_in_new(unit, user, device)
        try:
            await self.journal.commit(unit)
        except Conflict as conflict:
            if conflict.table == _USERS_TABLE:
                raise UserInUse("this username is taken") from None
            if conflict.table == self.contacts.table:
                raise ThreepidInUse("another account has this address") from None
            if token is not None and not await self.tokens.is_valid(token):
                raise Forbidden(
                    "the registration token is not valid any more"
                ) from None
            # What was proved may be used up.
            raise
        return added

    def _get_flows(self) -> tuple[Flow, ...]:
        by_email = _FLOWS.get(self.policy.mode) if self.policy.mode else None
        if by_email is None:
            raise Forbidden("registration is closed on this server")
        flows = by_email[self.policy.email]
        if not self.policy.terms:
            return flows
        return tuple(
            (Stage.TERMS, *(stage for stage in flow if stage != Stage.DUMMY))
            for flow in flows
        )

    def _generate_user_id(self, prefix: str) -> UserId:
        chars = (secrets.choice(_GENERATED_ALPHABET) for _ in range(_GENERATED_CHARS))
        user_id = self.accounts.users.id_of(prefix + "".join(chars))
        self._check_not_claimed(user_id)
        return user_id

    def _check_not_claimed(self, user_id: UserId) -> None:
        if self.appservices.exclusive_of_user(user_id):
            raise Exclusive("this username is kept for an application service")


def _is_attempt(auth: object) -> bool:
    return isinstance(auth, dict) and ("type" in auth or "session" in auth)
