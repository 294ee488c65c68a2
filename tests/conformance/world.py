"""People and rooms for bad requests to be about, and a good request of each kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import quote

from tests.conformance.operations import Operation
from tests.features.appservices.registrations import registration
from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.server import PASSWORD, Server
from tremula.protocol.identifiers import UserId

_numbers = count(1)

BOB: Final = "@bob:test"
CAROL: Final = "@carol:test"
EVE: Final = "@eve:test"
ADMIN: Final = UserId("@admin:test")

BACKUP_VERSION: Final = "1"
RULE_ID: Final = "org.example.rule"

Body = dict[str, Any]

_BACKUP: Final[Body] = {
    "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
    "auth_data": {"public_key": "key", "signatures": {}},
}
_BACKED_UP: Final[Body] = {
    "first_message_index": 1,
    "forwarded_count": 0,
    "is_verified": True,
    "session_data": {"ciphertext": "secret"},
}
_PUSH_RULE: Final[Body] = {
    "actions": ["notify"],
    "conditions": [{"kind": "event_match", "key": "type", "pattern": "m.x"}],
}


@dataclass(frozen=True, slots=True)
class World:
    """Alice's own room, in which Bob is, from which Eve is banned; Carol is nowhere,
    and an administrator has a subject. There is a bridge that is told nothing.

    Bob, Carol and Eve are the same in every world of a server, Alice is new.
    """

    server: Server
    alice: Client
    bob: Client
    carol: Client
    admin: Client
    bridge: Client
    bridge_id: str
    subject: str
    user_id: str
    device_id: str
    room_id: str
    knock_room_id: str
    event_id: str
    alias: str
    filter_id: str

    def actor(self, operation: Operation) -> Client:
        """Who makes the request."""
        return {
            "joinRoom": self.carol,
            "joinRoomById": self.carol,
            "knockRoom": self.carol,
            "leaveRoom": self.bob,
            "pingAppservice": self.bridge,
            "setAdminLockUser": self.admin,
            "setAdminSuspendUser": self.admin,
            "updateAppserviceRoomDirectoryVisibility": self.bridge,
        }.get(operation.operation_id, self.alice)

    def path(self, operation: Operation, **parts: str) -> str:
        """The path of a good request, but for *parts*, which go in as they are."""
        path = operation.path
        for name, value in (self._parts(operation) | parts).items():
            path = path.replace("{" + name + "}", value)
        return path

    def body(self, operation: Operation) -> Body:
        """The body of a good request."""
        make = _BODIES.get(operation.operation_id)
        return make(self) if make else {}

    def query(self, operation: Operation) -> Mapping[str, str]:
        """The query of a good request."""
        return _QUERIES.get(operation.operation_id, {})

    @property
    def password_auth(self) -> Body:
        """What proves to UIA that it is Alice."""
        return {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": PASSWORD,
        }

    def _parts(self, operation: Operation) -> dict[str, str]:
        parts = {
            "appserviceId": self.bridge_id,
            "deviceId": self.device_id,
            "eventId": self.event_id,
            "eventType": "m.room.message",
            "filterId": self.filter_id,
            "keyName": "displayname",
            "kind": "override",
            "networkId": "network",
            "receiptType": "m.read",
            "roomAlias": self.alias,
            "roomId": self.room_id,
            "roomIdOrAlias": self.room_id,
            "ruleId": RULE_ID,
            "sessionId": "session",
            "stateKey": "",
            "tag": "u.work",
            "txnId": f"t{next(_numbers)}",
            "type": "org.example.data",
            "userId": self.user_id,
            "version": BACKUP_VERSION,
        }
        match operation.operation_id:
            case "setAdminLockUser" | "setAdminSuspendUser":
                parts["userId"] = self.subject
            case "knockRoom":
                parts["roomIdOrAlias"] = self.knock_room_id
            case "setRoomStateWithKey" | "getRoomStateWithKey":
                parts["eventType"] = "m.room.topic"
            case "setRoomAlias":
                parts["roomAlias"] = f"#new{next(_numbers)}:test"
        return {name: quote(value, safe="") for name, value in parts.items()}


async def make_world(server: Server) -> World:
    """A new Alice, with a room and all that may stand in a path."""
    user_id = f"@alice{next(_numbers)}:test"
    device_id = f"DEVICE{next(_numbers)}"
    alice = await logged_in(server, user_id, device_id)
    bob, carol = await logged_in(server, BOB), await logged_in(server, CAROL)
    await logged_in(server, EVE)
    subject = f"@subject{next(_numbers)}:test"
    await logged_in(server, subject)
    admin = await logged_in(server, ADMIN)
    await server.app.accounts.set_admin(ADMIN, is_admin=True)
    bridge = registration(f"bridge{next(_numbers)}", protocols=["network"])
    await server.add_appservice(bridge)
    name = f"pub{next(_numbers)}"
    room_id = await create_room(alice, preset="public_chat", room_alias_name=name)
    await join(bob, room_id)
    await alice.post(f"/v3/rooms/{room_id}/ban", {"user_id": EVE})
    made = await alice.post(f"/v3/user/{user_id}/filter", {"presence": {"limit": 1}})
    await alice.put(f"/v3/user/{user_id}/account_data/org.example.data", {"a": 1})
    await alice.post("/v3/room_keys/version", _BACKUP)
    await alice.put(f"/v3/pushrules/global/override/{RULE_ID}", _PUSH_RULE)
    return World(
        server=server,
        alice=alice,
        bob=bob,
        carol=carol,
        admin=admin,
        bridge=server.appservice_client(bridge),
        bridge_id=bridge.id,
        subject=subject,
        user_id=user_id,
        device_id=device_id,
        room_id=room_id,
        knock_room_id=await create_room(
            alice, initial_state=[_state("m.room.join_rules", {"join_rule": "knock"})]
        ),
        event_id=await send(alice, room_id),
        alias=f"#{name}:test",
        filter_id=made.json["filter_id"],
    )


async def logged_in(
    server: Server, user_id: str, device_id: str | None = None
) -> Client:
    """A client that has its token."""
    client = server.client(user_id, device_id=device_id)
    response = await client.get("/v3/account/whoami")
    assert response.status == 200, response.body
    return client


def _state(event_type: str, content: Body) -> Body:
    return {"type": event_type, "state_key": "", "content": content}


def _register(_world: World) -> Body:
    return {
        "username": f"new{next(_numbers)}",
        "password": PASSWORD,
        "auth": {"type": "m.login.dummy"},
    }


def _create_room(_world: World) -> Body:
    return {
        "preset": "public_chat",
        "name": "Room",
        "creation_content": {"m.federate": False},
        "power_level_content_override": {"users": {BOB: 50}, "events": {"m.x": 1}},
        "initial_state": [_state("m.room.guest_access", {"guest_access": "can_join"})],
    }


_BODIES: Final[Mapping[str, Callable[[World], Body]]] = {
    "ban": lambda _world: {"user_id": BOB},
    "changePassword": lambda world: {
        "new_password": "battery staple",
        "auth": world.password_auth,
    },
    "createRoom": _create_room,
    "deactivateAccount": lambda world: {"auth": world.password_auth},
    "deleteDevice": lambda world: {"auth": world.password_auth},
    "deleteDevices": lambda world: {"devices": ["X"], "auth": world.password_auth},
    "generateLoginToken": lambda world: {"auth": world.password_auth},
    "inviteUser": lambda _world: {"user_id": CAROL},
    "kick": lambda _world: {"user_id": BOB},
    "pingAppservice": lambda _world: {"transaction_id": "ping"},
    "updateAppserviceRoomDirectoryVisibility": lambda _world: {"visibility": "public"},
    "login": lambda world: world.password_auth,
    "postReceipt": lambda _world: {"thread_id": "main"},
    "postRoomKeysVersion": lambda _world: _BACKUP,
    "putRoomKeyBySessionId": lambda _world: _BACKED_UP,
    "putRoomKeys": lambda world: {
        "rooms": {world.room_id: {"sessions": {"session": _BACKED_UP}}}
    },
    "putRoomKeysByRoomId": lambda _world: {"sessions": {"session": _BACKED_UP}},
    "putRoomKeysVersion": lambda _world: _BACKUP | {"version": BACKUP_VERSION},
    "queryPublicRooms": lambda _world: {"limit": 5},
    "refresh": lambda _world: {"refresh_token": "none"},
    "register": _register,
    "sendMessage": lambda _world: {"msgtype": "m.text", "body": "hello"},
    "setAccountData": lambda _world: {"key": {"key": ["value"]}},
    "setAccountDataPerRoom": lambda _world: {"key": {"key": ["value"]}},
    "setPresence": lambda _world: {"presence": "online"},
    "setAdminLockUser": lambda _world: {"locked": False},
    "setAdminSuspendUser": lambda _world: {"suspended": False},
    "setPushRule": lambda _world: _PUSH_RULE,
    "setPushRuleActions": lambda _world: {"actions": ["notify"]},
    "setPushRuleEnabled": lambda _world: {"enabled": True},
    "setProfileField": lambda _world: {"displayname": "Alice"},
    "setReadMarker": lambda world: {"m.read": world.event_id},
    "setRoomAlias": lambda world: {"room_id": world.room_id},
    "setRoomStateWithKey": lambda _world: {"topic": "All about happy hour"},
    "setTyping": lambda _world: {"typing": False},
    "unban": lambda _world: {"user_id": EVE},
    "upgradeRoom": lambda _world: {"new_version": "11"},
}

_QUERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "checkUsernameAvailability": {"username": "nobody"},
    "getEventByTimestamp": {"ts": "1", "dir": "f"},
    "getRoomEvents": {"dir": "b"},
    "registrationTokenValidity": {"token": "x"},
} | {
    f"{method}{scope}": {"version": BACKUP_VERSION}
    for method in ("delete", "get", "put")
    for scope in ("RoomKeys", "RoomKeysByRoomId", "RoomKeyBySessionId")
}
