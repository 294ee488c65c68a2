"""Whose request it is, if an application service makes it (AS "Client-Server API
Extensions").
"""

from collections.abc import Callable, Hashable
from typing import Final

from msgspec import Struct

from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.devices.service import TOPIC as DEVICES_TOPIC
from tremula.features.devices.service import Devices
from tremula.features.sessions.service import SEEN_EVERY_MS, Sessions, Sighting
from tremula.features.sessions.service import TOPIC as TOKENS_TOPIC
from tremula.features.users.service import User, Users
from tremula.infra.cache import ByteLRU
from tremula.infra.http import Query, Requester, RequestingClient
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, UnknownDevice
from tremula.protocol.identifiers import DeviceId, UserId

_TOPICS: Final = (TOKENS_TOPIC, DEVICES_TOPIC)
_NO_TOKEN: Final = 0
_USERS_BYTES: Final = 8 * 1024 * 1024
_USER_BYTES: Final = 600
_DEVICE_BYTES: Final = 150


class _Known(Struct):
    """A user who was acted as, and when each of their devices was last recorded to be
    in use: None until one was acted as.
    """

    user: User
    seen: dict[DeviceId, int] | None = None


class TokenOwners:
    """Implements ``infra.http.Authenticator``: knows users' tokens and ``as_token``s.

    Those whom application services act as, and their devices, are kept in memory; what
    changes either is announced.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        appservices: Appservices,
        users: Users,
        devices: Devices,
        journal: Journal,
        on_sighting: Callable[[Sighting], None],
        on_request: Callable[[str], None],
    ) -> None:
        self._sessions = sessions
        self._appservices = appservices
        self._users = users
        self._devices = devices
        self._journal = journal
        self._on_sighting = on_sighting
        self._on_request = on_request
        self.cache: ByteLRU[UserId, _Known] = ByteLRU(_USERS_BYTES)
        """Users whom application services act as."""
        for topic in _TOPICS:
            journal.subscribe(topic, self._forget)
        journal.on_forget(self.cache.clear)

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        """Who makes a request, if it is a user who has made some before.

        Users' tokens are made here, at random: none is an application service's.

        Raises:
            UnknownToken: the token has expired (a soft logout).
        """
        return self._sessions.recall(token, client)

    async def authenticate(
        self, token: str, client: RequestingClient, *, query_string: bytes
    ) -> Requester:
        """Who makes a request. Without a query for those who have made some before.

        Raises:
            UnknownToken: no such token, or it has expired (then a soft logout).
            Forbidden: an application service is not to act as this user, or there is
                no such user.
            UnknownDevice: the user has no such device.
        """
        if self._appservices.is_behind:
            await self._appservices.catch_up()
        appservice = self._appservices.by_token(token)
        if appservice is None:
            return await self._sessions.authenticate(token, client)
        self._on_request(appservice.id)
        query = Query(query_string)
        raw_device_id = query.get("device_id") or query.get(
            "org.matrix.msc3202.device_id"
        )
        device_id = None if raw_device_id is None else DeviceId(raw_device_id)
        user_id = UserId(query.get("user_id") or appservice.sender)
        if not appservice.may_act_as(user_id):
            raise Forbidden("the application service may not act as this user")
        # The devices of its owner are none of its business.
        with_devices = device_id is not None and appservice.matches_user(user_id)
        known = await self._find(user_id, with_devices=with_devices)
        if known is None and query.get("user_id"):
            raise Forbidden("the application service has not registered this user")
        if device_id is not None:
            devices = known if with_devices else None
            self._see(user_id, devices, device_id, client)
        user = known.user if known else None
        return _requester(appservice, user_id, user, device_id)

    def is_current(self, requester: Requester) -> bool:
        """Whether the token of *requester* is a user's, and nothing has changed."""
        return requester.appservice_id is None and self._sessions.is_current(requester)

    def _see(
        self,
        user_id: UserId,
        known: _Known | None,
        device_id: DeviceId,
        client: RequestingClient,
    ) -> None:
        """Record that a device is in use, at most once a minute.

        Raises:
            UnknownDevice: the user has no such device.
        """
        seen = known.seen if known else None
        if seen is None or device_id not in seen:
            raise UnknownDevice("the user has no device with this ID")
        now_ms = self._devices.clock.now_ms()
        if now_ms - seen[device_id] >= SEEN_EVERY_MS:
            seen[device_id] = now_ms
            sighting = Sighting(
                user_id=user_id,
                device_id=device_id,
                ts_ms=now_ms,
                ip=client.client_ip,
                user_agent=client.user_agent,
            )
            self._on_sighting(sighting)

    async def _find(self, user_id: UserId, *, with_devices: bool) -> _Known | None:
        known: _Known | None = self.cache.get(user_id)
        if known is not None and (known.seen is not None or not with_devices):
            return known
        before = self._changed(user_id)
        user = await self._users.find(user_id)
        if user is None or user.is_deactivated:
            return None
        seen = None
        if with_devices:
            devices = await self._devices.all_of(user_id)
            seen = {each.device_id: 0 for each in devices}
        known = _Known(user, seen)
        # What has changed while it was being read must not be kept.
        if self._changed(user_id) == before:
            size_bytes = _USER_BYTES + _DEVICE_BYTES * len(seen or ())
            self.cache.put(user_id, known, size_bytes)
        return known

    def _changed(self, user_id: UserId) -> list[int]:
        return [self._journal.changed_pos(topic, user_id) for topic in _TOPICS]

    def _forget(self, _pos: int, key: Hashable, _payload: object) -> None:
        assert isinstance(key, str)
        self.cache.discard(UserId(key))


def _requester(
    appservice: Appservice,
    user_id: UserId,
    user: User | None,
    device_id: DeviceId | None,
) -> Requester:
    is_limited = appservice.registration.rate_limited and user_id != appservice.sender
    return Requester(
        user_id=user_id,
        device_id=device_id,
        is_guest=False,
        token_id=_NO_TOKEN,
        # Whoever acts as an administrator must not thereby become one.
        is_admin=False,
        appservice_id=appservice.id,
        is_rate_limited=is_limited,
        # Not its owner, whose devices and keys are none of its business.
        controls_user=appservice.matches_user(user_id),
        is_locked=user is not None and user.is_locked,
        is_suspended=user is not None and user.is_suspended,
    )
