"""Queries on ``appservices`` (created in migrations/0042_appservices.sql)."""

from hashlib import sha256

import msgspec
from msgspec import Struct

from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.appservices import Registration


class StoredRegistration(Struct, frozen=True):
    """A row of ``appservices``."""

    registration: Registration
    from_file: bool


async def all_registrations(db: Reader) -> list[StoredRegistration]:
    """Every registration, in order of IDs."""
    rows = await db.all(
        "SELECT registration, from_file FROM appservices ORDER BY appservice_id"
    )
    return list(map(_stored, rows))


def insert_registration(unit: Unit, stored: StoredRegistration) -> None:
    """Add one. A taken ID or token fails the unit with ``Conflict``."""
    registration = stored.registration
    unit.run(
        """
        INSERT INTO appservices (appservice_id, as_token_hash, registration, from_file)
        VALUES (:appservice_id, :as_token_hash, :registration, :from_file)
        """,
        appservice_id=registration.id,
        as_token_hash=_hash(registration.as_token),
        registration=msgspec.json.encode(registration),
        from_file=int(stored.from_file),
    )


def delete_registration(unit: Unit, appservice_id: str) -> None:
    """Remove one, if it is there."""
    unit.run(
        "DELETE FROM appservices WHERE appservice_id = :appservice_id",
        appservice_id=appservice_id,
    )


def _stored(row: Row) -> StoredRegistration:
    raw, from_file = row
    registration = msgspec.json.decode(bytes(raw), type=Registration)
    return StoredRegistration(registration, bool(from_file))


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
