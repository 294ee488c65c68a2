"""Queries on ``pushers`` (migrations/0030_pushers.sql)."""

from collections.abc import Sequence
from typing import Final

import orjson

from tremula.features.pushers.pusher import Kind, Pusher, PusherKey, StoredPusher
from tremula.infra.db import Reader, Row, Unit
from tremula.protocol.identifiers import DeviceId, UserId

USERS_PER_PAGE: Final = 5_000

_SELECT: Final = """
    SELECT user_id, app_id, pushkey, kind, device_id, is_enabled, app_display_name,
           device_display_name, profile_tag, lang, data, set_ts_ms, pos, badge,
           failures, retry_at_ms, unsubscribe_token
    FROM pushers
"""


def upsert_pusher(unit: Unit, stored: StoredPusher, *, keeps_device: bool) -> None:
    """Set a pusher. One that is there goes on where it was, unless it was disabled;
    with *keeps_device* it stays with its device.
    """
    pusher = stored.pusher
    unit.run(
        """
        INSERT INTO pushers (user_id, app_id, pushkey, kind, device_id, is_enabled,
                             app_display_name, device_display_name, profile_tag, lang,
                             data, set_ts_ms, pos, badge, failures, retry_at_ms,
                             unsubscribe_token)
        VALUES (:user_id, :app_id, :pushkey, :kind, :device_id, :is_enabled,
                :app_display_name, :device_display_name, :profile_tag, :lang,
                :data, :set_ts_ms, :pos, 0, 0, 0, :unsubscribe_token)
        ON CONFLICT (user_id, app_id, pushkey) DO UPDATE
        SET kind = excluded.kind,
            device_id = CASE WHEN :keeps_device = 1
                THEN pushers.device_id ELSE excluded.device_id END,
            is_enabled = excluded.is_enabled,
            app_display_name = excluded.app_display_name,
            device_display_name = excluded.device_display_name,
            profile_tag = excluded.profile_tag,
            lang = excluded.lang,
            data = excluded.data,
            set_ts_ms = excluded.set_ts_ms,
            pos = CASE WHEN pushers.is_enabled = 1
                THEN pushers.pos ELSE excluded.pos END,
            failures = 0,
            retry_at_ms = 0
        """,
        user_id=stored.user_id,
        app_id=pusher.key.app_id,
        pushkey=pusher.key.pushkey,
        kind=pusher.kind,
        device_id=stored.device_id,
        is_enabled=int(pusher.is_enabled),
        app_display_name=pusher.app_display_name,
        device_display_name=pusher.device_display_name,
        profile_tag=pusher.profile_tag,
        lang=pusher.lang,
        data=orjson.dumps(pusher.data),
        set_ts_ms=stored.set_ts_ms,
        pos=stored.pos,
        unsubscribe_token=stored.unsubscribe_token,
        keeps_device=int(keeps_device),
    )


def update_sent(unit: Unit, pushers: Sequence[StoredPusher]) -> None:
    """Store up to where everything has been sent to *pushers*, the badge they show, and
    how often they could not be reached.
    """
    unit.run_many(
        """
        UPDATE pushers
        SET pos = CASE WHEN pos < :pos THEN :pos ELSE pos END, badge = :badge,
            failures = :failures
        WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
        """,
        [
            {
                **_key_of(each),
                "pos": each.pos,
                "badge": each.badge,
                "failures": each.failures,
            }
            for each in pushers
        ],
    )


def update_failed(
    unit: Unit, pushers: Sequence[StoredPusher], *, failures: int, retry_at_ms: int
) -> None:
    """*pushers* could not be reached, and are to be tried again."""
    unit.run_many(
        """
        UPDATE pushers SET failures = :failures, retry_at_ms = :retry_at_ms
        WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
        """,
        [
            {**_key_of(each), "failures": failures, "retry_at_ms": retry_at_ms}
            for each in pushers
        ],
    )


def update_retry(unit: Unit, stored: StoredPusher, *, retry_at_ms: int) -> None:
    """Look at a pusher at *retry_at_ms*, and not before; 0: at any time."""
    unit.run(
        """
        UPDATE pushers SET retry_at_ms = :retry_at_ms
        WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
        """,
        **_key_of(stored),
        retry_at_ms=retry_at_ms,
    )


def delete_pusher(unit: Unit, user_id: UserId, key: PusherKey) -> None:
    """Remove a pusher of the user, if it is there."""
    unit.run(
        """
        DELETE FROM pushers
        WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
        """,
        user_id=user_id,
        app_id=key.app_id,
        pushkey=key.pushkey,
    )


def delete_rejected(unit: Unit, pushers: Sequence[StoredPusher]) -> None:
    """Remove *pushers*, but for those that were set again meanwhile."""
    unit.run_many(
        """
        DELETE FROM pushers
        WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
            AND set_ts_ms = :set_ts_ms
        """,
        [{**_key_of(each), "set_ts_ms": each.set_ts_ms} for each in pushers],
    )


def delete_of_others(unit: Unit, user_id: UserId, key: PusherKey) -> None:
    """Remove the pushers of this key that other users have."""
    unit.run(
        """
        DELETE FROM pushers
        WHERE app_id = :app_id AND pushkey = :pushkey AND user_id <> :user_id
        """,
        user_id=user_id,
        app_id=key.app_id,
        pushkey=key.pushkey,
    )


def delete_of_devices(
    unit: Unit, user_id: UserId, device_ids: Sequence[DeviceId]
) -> None:
    """Remove what devices (at most 500) have set."""
    unit.run(
        "DELETE FROM pushers WHERE user_id = :user_id AND device_id IN :device_ids",
        user_id=user_id,
        device_ids=list(device_ids),
    )


def delete_of_all_devices(
    unit: Unit, user_id: UserId, *, but_device_id: DeviceId | None
) -> None:
    """Remove what any device has set but one."""
    unit.run(
        """
        DELETE FROM pushers WHERE user_id = :user_id AND device_id <> :but_device_id
        """,
        user_id=user_id,
        but_device_id=but_device_id or "",
    )


def delete_of_user(unit: Unit, user_id: UserId) -> None:
    """Remove all that the user has."""
    unit.run("DELETE FROM pushers WHERE user_id = :user_id", user_id=user_id)


async def pushers_of(db: Reader, user_id: UserId) -> list[StoredPusher]:
    """The pushers of a user, by their keys."""
    rows = await db.all(
        _SELECT + "WHERE user_id = :user_id ORDER BY app_id, pushkey",
        user_id=user_id,
    )
    return [_stored(row) for row in rows]


async def find_by_unsubscribe_token(db: Reader, token: str) -> StoredPusher | None:
    """The pusher whose mails have this token in their links."""
    row = await db.first(_SELECT + "WHERE unsubscribe_token = :token", token=token)
    return None if row is None else _stored(row)


async def others_with(db: Reader, user_id: UserId, key: PusherKey) -> list[UserId]:
    """Other users who have a pusher of this key."""
    rows = await db.all(
        """
        SELECT user_id FROM pushers
        WHERE app_id = :app_id AND pushkey = :pushkey AND user_id <> :user_id
        """,
        user_id=user_id,
        app_id=key.app_id,
        pushkey=key.pushkey,
    )
    return [UserId(each) for (each,) in rows]


async def users_after(db: Reader, after: str) -> list[UserId]:
    """Users with enabled pushers by their IDs, the first `USERS_PER_PAGE` past
    *after*.
    """
    rows = await db.scan(
        """
        SELECT DISTINCT user_id FROM pushers
        WHERE user_id > :after AND is_enabled = 1
        ORDER BY user_id LIMIT :limit
        """,
        after=after,
        limit=USERS_PER_PAGE,
    )
    return [UserId(user_id) for (user_id,) in rows]


def _key_of(stored: StoredPusher) -> dict[str, object]:
    return {
        "user_id": stored.user_id,
        "app_id": stored.key.app_id,
        "pushkey": stored.key.pushkey,
    }


def _stored(row: Row) -> StoredPusher:
    (
        user_id,
        app_id,
        pushkey,
        kind,
        device_id,
        is_enabled,
        app_display_name,
        device_display_name,
        profile_tag,
        lang,
        data,
        *progress,
    ) = row
    set_ts_ms, pos, badge, failures, retry_at_ms, unsubscribe_token = progress
    pusher = Pusher(
        key=PusherKey(app_id, pushkey),
        kind=Kind(kind),
        is_enabled=bool(is_enabled),
        app_display_name=app_display_name,
        device_display_name=device_display_name,
        profile_tag=profile_tag,
        lang=lang,
        data=orjson.loads(data),
    )
    return StoredPusher(
        user_id=UserId(user_id),
        pusher=pusher,
        device_id=None if device_id is None else DeviceId(device_id),
        set_ts_ms=set_ts_ms,
        pos=pos,
        badge=badge,
        failures=failures,
        retry_at_ms=retry_at_ms,
        unsubscribe_token=unsubscribe_token,
    )
