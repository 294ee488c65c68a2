"""Queries on ``third_party_…`` (created in migrations/0036_third_party.sql)."""

from enum import StrEnum

from msgspec import Struct

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.unprinted import Unprinted


class Medium(StrEnum):
    """What kind of address a third-party identifier is."""

    EMAIL = "email"
    MSISDN = "msisdn"


class Purpose(StrEnum):
    """What an address is proved for."""

    REGISTER = "register"
    RESET = "reset"
    ADD = "add"
    INVITE = "invite"
    """Nothing is proved: its owner takes the invitations of an address."""


class ThirdPartyId(Struct, frozen=True):
    """An address of a user."""

    medium: str
    address: str
    user_id: UserId
    validated_ts_ms: int
    added_ts_ms: int


class Session(Unprinted, frozen=True, kw_only=True):
    """An address that is to be proved; the secrets are hashes.

    ``expires_ts_ms`` is negative once it is used up.
    """

    sid: str
    purpose: Purpose
    address: EmailAddress
    secret_hash: bytes
    token_hash: bytes | None
    next_link: str | None
    send_attempt: int
    expires_ts_ms: int
    validated_ts_ms: int | None = None


class PendingInvite(Struct, frozen=True):
    """An address that was invited to a room by *sender*."""

    token: str
    address: EmailAddress
    room_id: RoomId
    sender: UserId
    created_ts_ms: int


# Addresses of users


def insert_id(unit: Unit, added: ThirdPartyId) -> None:
    """Add an address. One that somebody has fails the unit with ``Conflict``."""
    unit.run(
        """
        INSERT INTO third_party_ids (medium, address, user_id, validated_ts_ms,
                                     added_ts_ms)
        VALUES (:medium, :address, :user_id, :validated_ts_ms, :added_ts_ms)
        """,
        medium=added.medium,
        address=added.address,
        user_id=added.user_id,
        validated_ts_ms=added.validated_ts_ms,
        added_ts_ms=added.added_ts_ms,
    )


def delete_id(unit: Unit, user_id: UserId, medium: str, address: str) -> None:
    """Take an address from a user, who may not have it."""
    unit.run(
        """
        DELETE FROM third_party_ids
        WHERE user_id = :user_id AND medium = :medium AND address = :address
        """,
        user_id=user_id,
        medium=medium,
        address=address,
    )


def delete_ids_of(unit: Unit, user_id: UserId) -> None:
    """Take all addresses from a user."""
    unit.run("DELETE FROM third_party_ids WHERE user_id = :user_id", user_id=user_id)


async def ids_of(db: Reader, user_id: UserId) -> list[ThirdPartyId]:
    """The addresses of a user, the oldest first."""
    rows = await db.all(
        """
        SELECT medium, address, user_id, validated_ts_ms, added_ts_ms
        FROM third_party_ids WHERE user_id = :user_id ORDER BY added_ts_ms, address
        """,
        user_id=user_id,
    )
    return [ThirdPartyId(*row) for row in rows]


async def find_owner(db: Reader, medium: str, address: str) -> UserId | None:
    """The user who has an address."""
    row = await db.first(
        """
        SELECT user_id FROM third_party_ids
        WHERE medium = :medium AND address = :address
        """,
        medium=medium,
        address=address,
    )
    return None if row is None else UserId(row[0])


# Sessions


def upsert_session(unit: Unit, session: Session) -> None:
    """Begin a session, or have it begin anew with another token."""
    unit.run(
        """
        INSERT INTO third_party_sessions (sid, purpose, address, secret_hash,
            token_hash, next_link, send_attempt, validated_ts_ms, expires_ts_ms)
        VALUES (:sid, :purpose, :address, :secret_hash,
            :token_hash, :next_link, :send_attempt, NULL, :expires_ts_ms)
        ON CONFLICT (purpose, address, secret_hash) DO UPDATE
        SET sid = excluded.sid, token_hash = excluded.token_hash,
            next_link = excluded.next_link, send_attempt = excluded.send_attempt,
            validated_ts_ms = NULL, expires_ts_ms = excluded.expires_ts_ms
        """,
        sid=session.sid,
        purpose=session.purpose,
        address=session.address,
        secret_hash=session.secret_hash,
        token_hash=session.token_hash,
        next_link=session.next_link,
        send_attempt=session.send_attempt,
        expires_ts_ms=session.expires_ts_ms,
    )


def update_validated(unit: Unit, sid: str, *, ts_ms: int) -> None:
    """The address of a session is proved; the first time counts."""
    unit.run(
        """
        UPDATE third_party_sessions
        SET validated_ts_ms = COALESCE(validated_ts_ms, :ts_ms) WHERE sid = :sid
        """,
        sid=sid,
        ts_ms=ts_ms,
    )


def use_session(unit: Unit, session: Session) -> None:
    """Use up a session whose address is proved. If that was done, or it has begun anew,
    the unit fails with ``Conflict`` (see ``infra.rereading``); if it was swept
    meanwhile, it is there again, used up.
    """
    unit.run(
        """
        INSERT INTO third_party_sessions (sid, purpose, address, secret_hash,
                                          send_attempt, expires_ts_ms)
        VALUES (:sid, :purpose, :address, :secret_hash, :send_attempt, :expires_ts_ms)
        ON CONFLICT (sid) DO UPDATE
        SET expires_ts_ms = CASE WHEN third_party_sessions.expires_ts_ms > 0
            AND third_party_sessions.validated_ts_ms IS NOT NULL
            THEN excluded.expires_ts_ms END
        """,
        sid=session.sid,
        purpose=session.purpose,
        address=session.address,
        secret_hash=session.secret_hash,
        send_attempt=session.send_attempt,
        expires_ts_ms=-session.expires_ts_ms,
    )


def delete_expired_sessions(unit: Unit, now_ms: int) -> None:
    """Forget sessions of the past, and those used up when they would be past."""
    unit.run(
        """
        DELETE FROM third_party_sessions
        WHERE expires_ts_ms BETWEEN :used_ts_ms AND :now_ms
        """,
        used_ts_ms=-now_ms,
        now_ms=now_ms,
    )


async def find_session(db: Reader, sid: str) -> Session | None:
    """A session, expired or not."""
    row = await db.first(
        """
        SELECT sid, purpose, address, secret_hash, token_hash, next_link,
               send_attempt, expires_ts_ms, validated_ts_ms
        FROM third_party_sessions WHERE sid = :sid
        """,
        sid=sid,
    )
    return None if row is None else _session(row)


async def find_session_of(
    db: Reader, purpose: Purpose, address: EmailAddress, secret_hash: bytes
) -> Session | None:
    """The session that a client has begun with a secret, expired or not."""
    row = await db.first(
        """
        SELECT sid, purpose, address, secret_hash, token_hash, next_link,
               send_attempt, expires_ts_ms, validated_ts_ms
        FROM third_party_sessions
        WHERE purpose = :purpose AND address = :address AND secret_hash = :secret_hash
        """,
        purpose=purpose,
        address=address,
        secret_hash=secret_hash,
    )
    return None if row is None else _session(row)


def _session(row: Row) -> Session:
    sid, purpose, address, secret_hash, token_hash, next_link, *numbers = row
    send_attempt, expires_ts_ms, validated_ts_ms = numbers
    return Session(
        sid=sid,
        purpose=Purpose(purpose),
        address=EmailAddress(address),
        secret_hash=bytes(secret_hash),
        token_hash=None if token_hash is None else bytes(token_hash),
        next_link=next_link,
        send_attempt=send_attempt,
        expires_ts_ms=expires_ts_ms,
        validated_ts_ms=validated_ts_ms,
    )


# Invitations


async def missed_deliveries(
    db: Reader, *, limit: int
) -> list[tuple[UserId, EmailAddress]]:
    """Users with invitations from before they had proved the address."""
    rows = await db.all(
        """
        SELECT DISTINCT i.user_id, i.address
        FROM third_party_invites p
        JOIN third_party_ids i ON i.medium = :medium AND i.address = p.address
        WHERE i.added_ts_ms > p.created_ts_ms
        ORDER BY i.user_id, i.address LIMIT :limit
        """,
        medium=Medium.EMAIL,
        limit=limit,
    )
    return [(UserId(user_id), EmailAddress(address)) for user_id, address in rows]


def insert_invite(unit: Unit, invite: PendingInvite) -> None:
    """Note that an address is invited."""
    unit.run(
        """
        INSERT INTO third_party_invites (token, address, room_id, sender, created_ts_ms)
        VALUES (:token, :address, :room_id, :sender, :created_ts_ms)
        """,
        token=invite.token,
        address=invite.address,
        room_id=invite.room_id,
        sender=invite.sender,
        created_ts_ms=invite.created_ts_ms,
    )


def delete_invite(unit: Unit, token: str) -> None:
    """The invitation has become that of a user, or can't."""
    unit.run("DELETE FROM third_party_invites WHERE token = :token", token=token)


def delete_invites_before(unit: Unit, ts_ms: int) -> None:
    """Forget invitations that nobody has followed."""
    unit.run(
        "DELETE FROM third_party_invites WHERE created_ts_ms < :ts_ms", ts_ms=ts_ms
    )


async def invites_for(
    db: Reader, address: EmailAddress, *, limit: int
) -> list[PendingInvite]:
    """What an address is invited to, the oldest first."""
    rows = await db.all(
        """
        SELECT token, address, room_id, sender, created_ts_ms FROM third_party_invites
        WHERE address = :address ORDER BY created_ts_ms, token LIMIT :limit
        """,
        address=address,
        limit=limit,
    )
    return [PendingInvite(*row) for row in rows]
