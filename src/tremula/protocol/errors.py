"""One exception class per ``errcode`` of the specification.

Raise them at the place that knows what is wrong, in plain words that help whoever
made the request; ``infra/http`` turns them into the standard error response.
"""

from typing import ClassVar


class MatrixError(Exception):
    """A request that fails for a reason the peer is told.

    ``errcode`` and ``http_status`` belong to the class; *status* overrides the latter
    for the endpoints that document another one. Further keywords become keys of the
    JSON body, beside ``errcode`` and ``error``.
    """

    errcode: ClassVar[str] = "M_UNKNOWN"
    http_status: int = 400

    def __init__(
        self, message: str, *, status: int | None = None, **extra: object
    ) -> None:
        super().__init__(message)
        self.message = message
        self.extra: dict[str, object] = extra
        if status is not None:
            self.http_status = status

    def body(self) -> dict[str, object]:
        """The JSON object of the standard error response."""
        return {"errcode": self.errcode, "error": self.message, **self.extra}


class AuthRuleViolation(ValueError):
    """An event that the authorisation rules of its room version reject.

    The caller decides what follows: ``Forbidden`` for a client, a rejection or a
    soft failure for a PDU. ``rule`` names the rule, for logs and tests; the message is
    for whoever wants to send the event: in plain words, what they lack.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message

    def answer(self) -> "MatrixError":
        """What a client is told that wants to send the event."""
        return Forbidden(self.message)


class MalformedEvent(AuthRuleViolation):
    """An event that nobody may send to its room, whatever their power."""

    def answer(self) -> "MatrixError":
        """See `AuthRuleViolation`."""
        return BadJson(self.message)


class UnauthorisedJoin(AuthRuleViolation):
    """A join by membership of another room for which nobody vouches who could."""

    def answer(self) -> "MatrixError":
        """See `AuthRuleViolation`."""
        return UnableToAuthoriseJoin(self.message)


# Common error codes (CS "Common error codes")


class BadJson(MatrixError):
    """Valid JSON of the wrong shape: a key missing, a value of the wrong type."""

    errcode = "M_BAD_JSON"


class Forbidden(MatrixError):
    """The requester may not do this."""

    errcode = "M_FORBIDDEN"
    http_status = 403


class LimitExceeded(MatrixError):
    """Too many requests. ``Retry-After`` is made from ``retry_after_ms``."""

    errcode = "M_LIMIT_EXCEEDED"
    http_status = 429

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        if retry_after_ms is None:
            super().__init__(message)
        else:
            super().__init__(message, retry_after_ms=retry_after_ms)
        self.retry_after_ms = retry_after_ms


class MissingToken(MatrixError):
    """The endpoint needs an access token, and the request has none."""

    errcode = "M_MISSING_TOKEN"
    http_status = 401


class NotFound(MatrixError):
    """Nothing is there, or nothing that the requester may know of."""

    errcode = "M_NOT_FOUND"
    http_status = 404


class NotJson(MatrixError):
    """The body is not JSON."""

    errcode = "M_NOT_JSON"


class ResourceLimitExceeded(MatrixError):
    """The homeserver is full; ``admin_contact`` says whom to ask."""

    errcode = "M_RESOURCE_LIMIT_EXCEEDED"
    http_status = 403

    def __init__(self, message: str, *, admin_contact: str) -> None:
        super().__init__(message, admin_contact=admin_contact)


class Unknown(MatrixError):
    """An error that no other code describes."""

    errcode = "M_UNKNOWN"
    http_status = 500


class UnknownDevice(MatrixError):
    """An application service asserts a device that its user does not have."""

    errcode = "M_UNKNOWN_DEVICE"


class UnknownPos(MatrixError):
    """A position of sliding sync that is not, or no longer, known (MSC4186)."""

    errcode = "M_UNKNOWN_POS"


class UnknownToken(MatrixError):
    """The access or refresh token is not, or no longer, known."""

    errcode = "M_UNKNOWN_TOKEN"
    http_status = 401

    def __init__(self, message: str, *, soft_logout: bool = False) -> None:
        if soft_logout:
            super().__init__(message, soft_logout=True)
        else:
            super().__init__(message)


class Unrecognized(MatrixError):
    """No such endpoint (404), or not with this method (405)."""

    errcode = "M_UNRECOGNIZED"
    http_status = 404


class UserLimitExceeded(MatrixError):
    """The user has used up an allowance; ``info_uri`` explains which."""

    errcode = "M_USER_LIMIT_EXCEEDED"
    http_status = 403

    def __init__(
        self, message: str, *, info_uri: str, can_upgrade: bool = False
    ) -> None:
        super().__init__(message, info_uri=info_uri, can_upgrade=can_upgrade)


class UserLocked(MatrixError):
    """The account is locked. Always a soft logout (CS "Account locking")."""

    errcode = "M_USER_LOCKED"
    http_status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, soft_logout=True)


class UserSuspended(MatrixError):
    """The account is suspended and may not do this."""

    errcode = "M_USER_SUSPENDED"
    http_status = 403


# Parameters and sizes


class InvalidParam(MatrixError):
    """A parameter has a value that is not allowed."""

    errcode = "M_INVALID_PARAM"


class MissingParam(MatrixError):
    """A required parameter is missing."""

    errcode = "M_MISSING_PARAM"


class TooLarge(MatrixError):
    """The request, event or file is larger than allowed."""

    errcode = "M_TOO_LARGE"
    http_status = 413


class KeyTooLarge(MatrixError):
    """The name of a profile field is too long."""

    errcode = "M_KEY_TOO_LARGE"


class ProfileTooLarge(MatrixError):
    """The profile would grow past 64 KiB."""

    errcode = "M_PROFILE_TOO_LARGE"


# Accounts


class AppserviceLoginUnsupported(MatrixError):
    """Application services cannot log in with the legacy API here."""

    errcode = "M_APPSERVICE_LOGIN_UNSUPPORTED"


class CaptchaInvalid(MatrixError):
    """The captcha did not match."""

    errcode = "M_CAPTCHA_INVALID"


class CaptchaNeeded(MatrixError):
    """A captcha is required."""

    errcode = "M_CAPTCHA_NEEDED"


class Exclusive(MatrixError):
    """The name lies in an application service's namespace, or outside of it."""

    errcode = "M_EXCLUSIVE"


class GuestAccessForbidden(MatrixError):
    """Guests may not do this."""

    errcode = "M_GUEST_ACCESS_FORBIDDEN"
    http_status = 403


class InvalidUsername(MatrixError):
    """The desired localpart is not a valid one."""

    errcode = "M_INVALID_USERNAME"


class Unauthorized(MatrixError):
    """The request was not correctly authorised."""

    errcode = "M_UNAUTHORIZED"
    http_status = 401


class UserDeactivated(MatrixError):
    """The account has been deactivated."""

    errcode = "M_USER_DEACTIVATED"
    http_status = 403


class UserInUse(MatrixError):
    """The user ID is taken."""

    errcode = "M_USER_IN_USE"


class WeakPassword(MatrixError):
    """The password is too easily guessed."""

    errcode = "M_WEAK_PASSWORD"


# Third-party identifiers


class ServerNotTrusted(MatrixError):
    """The request names a third-party server that is not trusted here."""

    errcode = "M_SERVER_NOT_TRUSTED"


class ThreepidAuthFailed(MatrixError):
    """The third-party identifier could not be authenticated."""

    errcode = "M_THREEPID_AUTH_FAILED"
    http_status = 403


class ThreepidDenied(MatrixError):
    """This third-party identifier is not permitted here."""

    errcode = "M_THREEPID_DENIED"
    http_status = 403


class ThreepidInUse(MatrixError):
    """The third-party identifier belongs to another account."""

    errcode = "M_THREEPID_IN_USE"


class ThreepidMediumNotSupported(MatrixError):
    """Identifiers of this medium cannot be added."""

    errcode = "M_THREEPID_MEDIUM_NOT_SUPPORTED"


class ThreepidNotFound(MatrixError):
    """No account has this third-party identifier."""

    errcode = "M_THREEPID_NOT_FOUND"


# Rooms and events


class BadAlias(MatrixError):
    """An alias of ``m.room.canonical_alias`` does not point to the room."""

    errcode = "M_BAD_ALIAS"


class BadState(MatrixError):
    """The change does not fit the current state: unbanning who is not banned."""

    errcode = "M_BAD_STATE"


class CannotLeaveServerNoticeRoom(MatrixError):
    """The server notices room cannot be left."""

    errcode = "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
    http_status = 403


class DuplicateAnnotation(MatrixError):
    """The user has annotated the event with this key already."""

    errcode = "M_DUPLICATE_ANNOTATION"


class IncompatibleRoomVersion(MatrixError):
    """The other side does not support the room's version."""

    errcode = "M_INCOMPATIBLE_ROOM_VERSION"

    def __init__(self, message: str, *, room_version: str) -> None:
        super().__init__(message, room_version=room_version)


class InvalidRoomState(MatrixError):
    """The state given to ``createRoom`` does not make a valid room."""

    errcode = "M_INVALID_ROOM_STATE"


class InviteBlocked(MatrixError):
    """The invited user has blocked such invites."""

    errcode = "M_INVITE_BLOCKED"
    http_status = 403


class RoomInUse(MatrixError):
    """The room alias is taken."""

    errcode = "M_ROOM_IN_USE"


class UnableToAuthoriseJoin(MatrixError):
    """This server cannot check the conditions of a restricted join."""

    errcode = "M_UNABLE_TO_AUTHORISE_JOIN"


class UnableToGrantJoin(MatrixError):
    """No user of this server may invite to the restricted room."""

    errcode = "M_UNABLE_TO_GRANT_JOIN"


class UnsupportedRoomVersion(MatrixError):
    """The room version is not supported here."""

    errcode = "M_UNSUPPORTED_ROOM_VERSION"


# Encryption and media


class CannotOverwriteMedia(MatrixError):
    """Something has been uploaded to this media ID already."""

    errcode = "M_CANNOT_OVERWRITE_MEDIA"
    http_status = 409


class InvalidSignature(MatrixError):
    """A key or cross-signing signature does not verify."""

    errcode = "M_INVALID_SIGNATURE"


class NotYetUploaded(MatrixError):
    """The media ID exists; its content has not arrived yet."""

    errcode = "M_NOT_YET_UPLOADED"
    http_status = 504


class WrongRoomKeysVersion(MatrixError):
    """Not the newest backup; ``current_version`` names that one."""

    errcode = "M_WRONG_ROOM_KEYS_VERSION"
    http_status = 403

    def __init__(self, message: str, *, current_version: str) -> None:
        super().__init__(message, current_version=current_version)


# Application services (CS pingAppservice)


class BadStatus(MatrixError):
    """The application service answered a ping with another status than 2xx."""

    errcode = "M_BAD_STATUS"
    http_status = 502

    def __init__(self, message: str, *, answered: int, body: str) -> None:
        super().__init__(message, body=body)
        self.extra["status"] = answered


class ConnectionFailed(MatrixError):
    """The application service could not be reached."""

    errcode = "M_CONNECTION_FAILED"
    http_status = 502


class ConnectionTimeout(MatrixError):
    """The application service did not answer in time."""

    errcode = "M_CONNECTION_TIMEOUT"
    http_status = 504


class UrlNotSet(MatrixError):
    """The application service has no URL to ping."""

    errcode = "M_URL_NOT_SET"
