"""The stage ``m.login.password`` (CS "Password-based")."""

from hashlib import sha256

from msgspec import Struct

from tremula.features.uia.flows import Attempt, Proof
from tremula.features.users.service import User, Users
from tremula.infra.db import Unit
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import UserId
from tremula.protocol.login_identifiers import parse_user_name
from tremula.protocol.unprinted import Unprinted


class _SamePassword(Unprinted, frozen=True):
    """Implements ``Guard``: *user*, as checked, has the password that was given."""

    users: Users
    user: User

    async def check(self) -> None:
        await self.users.check_unchanged(self.user)

    def hold(self, unit: Unit) -> None:
        user = self.user
        self.users.lock_open(unit, user.user_id, password_hash=user.password_hash)


class PasswordStage(Struct, frozen=True):
    """The user gives their own password once more.

    Guesses with a stolen access token are limited like logins, a user at a time.
    """

    users: Users
    limiter: RateLimiter

    async def check(self, user_id: UserId | None, attempt: Attempt) -> Proof:
        """Implements ``StageCheck``; proves a user ID.

        Where nobody is logged in, *user_id* None, any user may prove who they are.

        Raises:
            Forbidden: not the name and password of *user_id*, or of any user.
            MissingParam, BadJson, InvalidParam: the attempt is malformed.
            LimitExceeded: too many attempts of this user, or of all.
        """
        name = parse_user_name(attempt.fields)
        self.limiter.check("login", user_id or name)
        user = await self.users.authenticate(name, attempt.string("password"))
        if user_id is not None and user.user_id != user_id:
            # The words of a wrong password: whose it is must not be told.
            raise Forbidden("invalid username or password")
        return self._proof(user)

    async def take_up(self, kept: str) -> Proof:
        """Implements ``TakeUp``: what `check` has proved in a browser.

        Raises:
            Forbidden: the password was changed since, or the account is deactivated.
            UserLocked: an administrator has locked the account.
        """
        user_id, _, _ = kept.rpartition(" ")
        user = await self.users.find(UserId(user_id))
        if user is None or _kept(user) != kept:
            raise Forbidden("invalid username or password")
        await self.users.check_unchanged(user)
        return self._proof(user)

    def _proof(self, user: User) -> Proof:
        return Proof(user.user_id, _SamePassword(self.users, user), _kept(user))


def _kept(user: User) -> str:
    """Tells another password by its hash, which has a salt."""
    return f"{user.user_id} {sha256((user.password_hash or '').encode()).hexdigest()}"


async def check_dummy(_user_id: UserId | None, _attempt: Attempt) -> None:
    """The stage ``m.login.dummy``: "always succeeds". Implements ``StageCheck``."""
