"""The keys' services over HTTP, with fakes for the features that they lean on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.accounts import PASSWORD, AccountsServer
from tests.http_client import Client, HttpResponse
from tremula.features.device_keys import routes
from tremula.features.device_keys.cross_signing import CrossSigning
from tremula.features.device_keys.queries import KeyQueries
from tremula.features.device_keys.routes import KeysEdge
from tremula.features.device_keys.service import (
    DeviceKeyUploads,
    PublishedKeys,
    RemoteKeys,
    Signatures,
    UserKeys,
)
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.one_time_keys.service import KeyUpload, PlannedKeys
from tremula.infra.config import RateLimits
from tremula.infra.http.application import Application
from tremula.infra.journal import JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.identifiers import DeviceId, ServerName, UserId
from tremula.protocol.one_time_keys import KeysJson
from tremula.rooms.memberships import Memberships

Json = dict[str, Any]

OWN: Final = ServerName("test")
ALICE: Final = UserId("@alice:test")
BOB: Final = UserId("@bob:test")


@dataclass(slots=True)
class FakeOneTimeKeys:
    """Counts keys, and notes whose were dropped."""

    keys: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    fallback: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    dropped: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def plan(self, upload: KeyUpload, *, forgets: bool = False) -> PlannedKeys:
        place = (upload.user_id, upload.device_id)
        before = {} if forgets else self.keys.get(place, {})
        self.keys[place] = {**before, **_parsed(upload.one_time_keys)}
        self.fallback.setdefault(place, {}).update(_parsed(upload.fallback_keys))
        counts = await self.counts(*place)
        return PlannedKeys(
            *place,
            upload=1,
            forgets_all=forgets,
            forgets_claimed=False,
            new=(),
            fallbacks=(),
            counts=counts,
        )

    def add(self, unit: JournalUnit, planned: PlannedKeys) -> None:
        if planned.forgets_all:
            self.dropped.append((planned.user_id, (planned.device_id,)))

    async def counts(self, user_id: UserId, device_id: DeviceId) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for name in self.keys.get((user_id, device_id), ()):
            algorithm = name.partition(":")[0]
            counts[algorithm] = counts.get(algorithm, 0) + 1
        return counts

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        self.dropped.append((user_id, tuple(device_ids)))


def _parsed(keys: KeysJson) -> dict[str, object]:
    parsed: dict[str, object] = orjson.loads(keys)
    return parsed


@dataclass(slots=True)
class FakeRemoteDevices:
    """Other servers, as far as a test makes them up."""

    users: dict[UserId, UserKeys] = field(default_factory=dict)
    failures: dict[ServerName, Json] = field(default_factory=dict)
    asked: list[tuple[set[UserId], float]] = field(default_factory=list)

    async def query(
        self, user_ids: Collection[UserId], *, timeout_s: float
    ) -> RemoteKeys:
        self.asked.append((set(user_ids), timeout_s))
        found = {each: self.users[each] for each in user_ids if each in self.users}
        return RemoteKeys(found, self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysServer:
    """A server with accounts and keys; ``changes`` is what is announced."""

    accounts: AccountsServer
    one_time: FakeOneTimeKeys
    remote: FakeRemoteDevices
    cross_signing: CrossSigning
    signatures: Signatures
    changes: list[tuple[UserId, DeviceListChange]]
    app: Client

    async def user(self, username: str, device_id: str, **body: object) -> Client:
        """A device of a new user."""
        answer = await self.accounts.register(username, device_id=device_id, **body)
        return Client(self.app.app, answer["access_token"])

    async def device(self, username: str, device_id: str, **body: object) -> Client:
        """One more device of a user."""
        answer = await self.accounts.log_in(username, device_id=device_id, **body)
        return Client(self.app.app, answer.json["access_token"])


def start_keys(accounts: AccountsServer) -> KeysServer:
    """Build the services as ``app.py`` does."""
    db, journal = accounts.database, accounts.journal
    changes: list[tuple[UserId, DeviceListChange]] = []

    def note(
        _unit: JournalUnit, user_id: UserId, change: DeviceListChange, _pos: int
    ) -> None:
        changes.append((user_id, change))

    lists = DeviceLists(db, journal, OWN, Memberships(db, journal), note)
    one_time, remote = FakeOneTimeKeys(), FakeRemoteDevices()
    devices = accounts.accounts.devices
    published = PublishedKeys(db, journal, devices, accounts.users)
    changing: KeyedLocks[UserId] = KeyedLocks()
    uploads = DeviceKeyUploads(db, journal, lists, one_time, changing)
    devices.observe(uploads)
    devices.on_added(uploads.device_added)
    devices.on_renamed(uploads.device_renamed)
    cross_signing = CrossSigning(db, journal, lists, accounts.uia, changing)
    signatures = Signatures(db, journal, lists, published, remote, changing, OWN)
    accounts.router.add(
        routes,
        KeysEdge(
            uploads,
            KeyQueries(db, published, remote, OWN),
            cross_signing,
            signatures,
        ),
    )
    application = Application(
        router=accounts.router,
        authenticator=accounts.token_owners,
        limiter=RateLimiter(RateLimits(enabled=False), accounts.clock),
        metrics=Metrics(),
    )
    return KeysServer(
        accounts=accounts,
        one_time=one_time,
        remote=remote,
        cross_signing=cross_signing,
        signatures=signatures,
        changes=changes,
        app=Client(application.for_listener()),
    )


async def publish(client: Client, device: CryptoDevice) -> None:
    """Upload the keys of a device."""
    response = await client.post("/v3/keys/upload", {"device_keys": device.keys()})
    assert response.status == 200, response.body


async def cross_sign(client: Client, identity: CrossSigningIdentity) -> None:
    """Upload the first cross-signing keys of a user."""
    path = "/v3/keys/device_signing/upload"
    response = await client.post(path, identity.upload())
    assert (response.status, response.json) == (200, {})


async def replace_keys(client: Client, body: Json) -> HttpResponse:
    """Upload cross-signing keys in the place of others, with the password."""
    path = "/v3/keys/device_signing/upload"
    challenge = await client.post(path, body)
    assert challenge.status == 401, challenge.body
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": body["master_key"]["user_id"]},
        "password": PASSWORD,
        "session": challenge.json["session"],
    }
    return await client.post(path, {**body, "auth": auth})


async def query(client: Client, *user_ids: str) -> Json:
    """All keys of some users, as a client is told them."""
    wanted: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    response = await client.post("/v3/keys/query", {"device_keys": wanted})
    assert response.status == 200, response.body
    body: Json = response.json
    return body


async def sign(client: Client, user_id: str, **keys: Json) -> Json:
    """Upload signed keys of a user; the failures."""
    return await sign_all(client, {user_id: keys})


async def sign_all(client: Client, signed: Mapping[str, Mapping[str, object]]) -> Json:
    """Upload signed keys; the failures."""
    response = await client.post("/v3/keys/signatures/upload", signed)
    assert response.status == 200, response.body
    failures: Json = response.json["failures"]
    return failures
