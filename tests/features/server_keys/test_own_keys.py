"""The keys of this server, and changing them."""

import pytest

from tests.fakes.clock import FakeClock
from tests.features.server_keys.ring import OWN
from tremula.features.server_keys import storage
from tremula.features.server_keys.service import OwnKeys, open_own_keys
from tremula.infra.db import Database, Statements
from tremula.protocol.server_keys import OldKey, parse_server_keys
from tremula.protocol.signing import SigningKey, verify_json

HOUR_MS = 60 * 60 * 1000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def own(database: Database, clock: FakeClock) -> OwnKeys:
    return await open_own_keys(database, clock, OWN)


async def reopened(own: OwnKeys) -> OwnKeys:
    return await open_own_keys(own.database, own.clock, OWN)


async def test_the_first_key_is_made_once(own: OwnKeys) -> None:
    again = await reopened(own)

    assert again.current == own.current
    assert again.old == ()


async def test_of_two_first_keys_the_first_stays(own: OwnKeys) -> None:
    """Two processes may start at once."""
    unit = Statements()
    other = SigningKey.from_seed("ed25519:other", b"\x01" * 32)
    storage.insert_own_key(unit, other, created_ts=0)
    await own.database.commit(unit)

    assert (await reopened(own)).current == own.current


async def test_a_new_key_is_used_from_the_next_start_on(
    own: OwnKeys, clock: FakeClock
) -> None:
    new = await own.rotate()
    clock.advance_ms(HOUR_MS)
    after = await reopened(own)

    assert new != own.current
    assert after.current == new
    [old] = after.old
    assert (old.key_id, old.public_key) == (own.current.key_id, own.current.public_key)
    assert old.expired_ts == clock.now_ms()


async def test_the_old_private_key_is_forgotten(own: OwnKeys) -> None:
    await own.rotate()
    await reopened(own)

    rows = await own.database.all("SELECT singleton, seed FROM server_keys_own")
    assert [singleton for singleton, _ in rows] == [1]
    assert rows[0][1] != own.current.seed


async def test_old_keys_are_all_kept(own: OwnKeys, clock: FakeClock) -> None:
    used = [own.current.key_id]
    for _ in range(3):
        used.append((await own.rotate()).key_id)
        clock.advance_ms(HOUR_MS)
        own = await reopened(own)

    assert own.current.key_id == used[-1]
    assert [old.key_id for old in own.old] == used[-2::-1]


async def test_two_processes_change_the_key_once(own: OwnKeys) -> None:
    """Both saw that there is a next key before either had it take over."""
    new = await own.rotate()
    own_key = own.current
    for expired_ts in (1, 2):
        unit = Statements()
        old = OldKey(own_key.key_id, own_key.public_key, expired_ts)
        storage.replace_own_key(unit, old)
        await own.database.commit(unit)

    after = await reopened(own)
    assert after.current == new
    assert [old.expired_ts for old in after.old] == [1]


async def test_what_is_published_is_signed_by_the_new_key_only(
    own: OwnKeys, clock: FakeClock
) -> None:
    new = await own.rotate()
    own = await reopened(own)
    published = own.publish()

    verify_json(published, OWN, {new.key_id: new.public_key})
    assert set(published["verify_keys"]) == {new.key_id}
    assert set(published["old_verify_keys"]) == {own.old[0].key_id}
    read = parse_server_keys(published, OWN, now_ms=clock.now_ms())
    assert read.verify_keys[own.old[0].key_id].valid_until_ts == clock.now_ms()


async def test_what_is_published_counts_for_more_than_an_hour(
    own: OwnKeys, clock: FakeClock
) -> None:
    """SS getServerKey: so that nobody has to ask again at once."""
    assert own.publish()["valid_until_ts"] > clock.now_ms() + HOUR_MS
