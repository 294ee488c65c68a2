"""Keys that have changed, in the ``device_lists`` of CS ``sync``."""

from dataclasses import dataclass

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.device_keys.server import (
    ALICE,
    BOB,
    cross_sign,
    publish,
    query,
    sign,
)
from tests.features.rooms import create_room, join
from tests.http_client import Client
from tests.server import Server

OF_ALICE = CrossSigningIdentity(ALICE)
OF_BOB = CrossSigningIdentity(BOB)
MASTER_OF_BOB = OF_BOB.name("master")


async def together(alice: Client, bob: Client) -> None:
    """Put both into one room."""
    await join(bob, await create_room(alice, preset="public_chat"))


@dataclass(slots=True)
class Listener:
    """A client that goes on from its last token."""

    client: Client
    since: str = ""

    async def changed(self) -> list[str]:
        """Whose devices have changed since it asked last."""
        query = {"since": self.since} if self.since else {}
        answer = (await self.client.get("/v3/sync", query=query)).json
        self.since = answer["next_batch"]
        changed: list[str] = answer.get("device_lists", {}).get("changed", [])
        return changed


async def test_whoever_shares_a_room_is_told_of_each_change(server: Server) -> None:
    alice, bob = server.client(ALICE, device_id="PHONE"), server.client(BOB)
    await together(alice, bob)
    friend, stranger = Listener(bob), Listener(server.client("@carol:test"))
    await friend.changed()
    await stranger.changed()
    signed = OF_ALICE.sign("self_signing", CryptoDevice(ALICE, "PHONE").keys())

    await publish(alice, CryptoDevice(ALICE, "PHONE"))
    assert await friend.changed() == [ALICE]
    await cross_sign(alice, OF_ALICE)
    assert await friend.changed() == [ALICE]
    assert await sign(alice, ALICE, PHONE=signed) == {}
    assert await friend.changed() == [ALICE]
    await alice.put("/v3/devices/PHONE", {"display_name": "Renamed"})
    assert await friend.changed() == [ALICE]
    await alice.post("/v3/logout", {})
    assert await friend.changed() == [ALICE]
    assert await friend.changed() == []
    assert await stranger.changed() == []


async def test_a_signature_of_anothers_key_is_told_to_the_signer_alone(
    server: Server,
) -> None:
    phone, laptop = server.client(ALICE), server.client(ALICE)
    bob = server.client(BOB)
    await together(phone, bob)
    await cross_sign(phone, OF_ALICE)
    await cross_sign(bob, OF_BOB)
    other_device, signed_one = Listener(laptop), Listener(bob)
    await other_device.changed()
    await signed_one.changed()
    signed = OF_ALICE.sign("user_signing", OF_BOB.public("master"))

    assert await sign(phone, BOB, **{MASTER_OF_BOB: signed}) == {}

    assert await other_device.changed() == [BOB]
    assert (await query(laptop, BOB))["master_keys"] == {BOB: signed}
    assert await other_device.changed() == []
    assert await signed_one.changed() == []
