"""Looks at pushers for whom there may be something, and has it delivered.

No push gateway waits for another one: each has deliverers of its own. What has been
delivered is stored pusher by pusher, so that a crash repeats one notification at most.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

import structlog
from msgspec import Struct

from tremula.features.pushers import storage
from tremula.features.pushers.agenda import Agenda
from tremula.features.pushers.pushed_users import PushedUsers
from tremula.features.pushers.pusher import Kind, StoredPusher
from tremula.infra.clock import Clock
from tremula.infra.db import DatabaseUnavailable, Reader, SlotLost
from tremula.infra.journal import Journal
from tremula.infra.outbound.endpoint import HttpUrl
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import UserId

log = structlog.get_logger(__name__)

_AT_ONCE_MAX: Final = 256
_AT_ONE_GATEWAY_MAX: Final = 8
_AFTER_ERROR_MS: Final = 60_000
# After so many looks, others get their turn.
_LOOKS_A_TURN: Final = 50


class Route(Struct, frozen=True):
    """Pushers of a user that one request is for: of one app at one push gateway.

    Of one app, since a gateway rejects by pushkey only; of one format, since that
    decides upon what is said of an event. Of pushers by e-mail, each is one.
    """

    user_id: UserId
    kind: Kind
    app_id: str
    target: str
    is_event_id_only: bool

    @classmethod
    def of(cls, stored: StoredPusher) -> "Route":
        """That of a pusher."""
        pusher = stored.pusher
        is_http = pusher.kind is Kind.HTTP
        return cls(
            stored.user_id,
            pusher.kind,
            pusher.key.app_id,
            pusher.url if is_http else pusher.key.pushkey,
            is_http and pusher.is_event_id_only,
        )

    @property
    def gateway(self) -> str:
        """What may be slow or gone: the host, or the server for e-mail."""
        if self.kind is Kind.HTTP:
            return HttpUrl.parse(self.target).endpoint.host_header
        return self.kind


class Courier(Protocol):
    """Delivers by one kind of pushers."""

    async def deliver(
        self, user_id: UserId, pushers: Sequence[StoredPusher], *, up_to: int
    ) -> int | None:
        """Deliver what there is up to a journal position for *pushers*, all of one
        route.

        Returns the time in ms at which to look again unless something happens.
        """
        ...


class _Gateway:
    """What waits for a push gateway, and how many deliver to it."""

    def __init__(self) -> None:
        self.waiting: dict[Route, None] = {}
        self.underway: set[Route] = set()
        self.deliverers = 0

    def take(self) -> Route | None:
        """The next route that nobody is at."""
        for route in self.waiting:
            if route not in self.underway:
                del self.waiting[route]
                self.underway.add(route)
                return route
        return None


class Deliveries:
    """Delivers to the pushers of users whose slots are held here."""

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        clock: Clock,
        slots: Slots,
        users: PushedUsers,
        couriers: Mapping[Kind, Courier],
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._slots = slots
        self._users = users
        self._couriers = couriers
        self._agenda = Agenda()
        self._gateways: dict[str, _Gateway] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE_MAX)
        self._something_to_do = asyncio.Event()
        slots.on_taken(self._slots_taken)

    def count_waiting(self) -> int:
        """How many routes wait for their gateways."""
        return sum(len(gateway.waiting) for gateway in self._gateways.values())

    def note(self, user_id: UserId, *, in_ms: int = 0) -> None:
        """Look at the pushers of a user, whose slot may be held elsewhere."""
        if self._slots.holds(user_id):
            self._note_at(user_id, self._clock.now_ms() + in_ms)

    def note_all(self) -> None:
        """Look at everybody's pushers: something may have happened unheard."""
        for user_id in self._users.known():
            self.note(user_id)

    async def run(self) -> None:
        """Deliver for ever; meant for the supervisor."""
        self._gateways.clear()
        await self._users.load()
        self.note_all()
        async with asyncio.TaskGroup() as group:
            while True:
                self._something_to_do.clear()
                await self._look_at_due(group)
                await self._until_something_to_do()

    def _note_at(self, user_id: UserId, at_ms: int) -> None:
        self._agenda.note(user_id, at_ms)
        self._something_to_do.set()

    def _slots_taken(self, slots: Collection[int]) -> None:
        for user_id in self._users.known():
            if slot_of(user_id) in slots:
                self.note(user_id)

    async def _until_something_to_do(self) -> None:
        timeout_s = None
        if self._agenda.next_ms is not None:
            timeout_s = max(0, self._agenda.next_ms - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await self._something_to_do.wait()
        except TimeoutError:
            return

    async def _look_at_due(self, group: asyncio.TaskGroup) -> None:
        for count, user_id in enumerate(
            self._agenda.take_due(self._clock.now_ms()), start=1
        ):
            await self._look_at(user_id, group)
            if not count % _LOOKS_A_TURN:
                await asyncio.sleep(0)

    async def _look_at(self, user_id: UserId, group: asyncio.TaskGroup) -> None:
        if not self._slots.holds(user_id):
            return
        seen_changes = self._users.changes
        pushers = await self._usable(user_id)
        if not pushers:
            self._users.discard(user_id, seen_changes=seen_changes)
        for each in self._without_paused(pushers):
            self._put(Route.of(each), group)

    async def _usable(self, user_id: UserId) -> list[StoredPusher]:
        return [
            each
            for each in await storage.pushers_of(self._db, user_id)
            if each.pusher.is_enabled and each.pusher.kind in self._couriers
        ]

    def _without_paused(self, pushers: Sequence[StoredPusher]) -> list[StoredPusher]:
        """Those of *pushers* that may be tried now; the others are when their pauses
        are over.
        """
        now_ms = self._clock.now_ms()
        due: list[StoredPusher] = []
        for each in pushers:
            if each.failures and each.retry_at_ms > now_ms:
                self._note_at(each.user_id, each.retry_at_ms)
            else:
                due.append(each)
        return due

    def _put(self, route: Route, group: asyncio.TaskGroup) -> None:
        gateway = self._gateways.setdefault(route.gateway, _Gateway())
        gateway.waiting[route] = None
        if gateway.deliverers < _AT_ONE_GATEWAY_MAX:
            gateway.deliverers += 1
            group.create_task(self._serve(route.gateway, gateway))

    async def _serve(self, name: str, gateway: _Gateway) -> None:
        """Deliver to a push gateway until nothing waits for it."""
        try:
            while (route := gateway.take()) is not None:
                try:
                    async with self._turns:
                        await self._deliver(route)
                finally:
                    gateway.underway.discard(route)
        finally:
            gateway.deliverers -= 1
            if not gateway.deliverers:
                self._gateways.pop(name, None)

    async def _deliver(self, route: Route) -> None:
        user_id = route.user_id
        try:
            # Of what comes from now on, no pusher is told that goes meanwhile.
            up_to = self._journal.position
            usable = await self._usable(user_id)
            pushers = self._without_paused(
                [each for each in usable if Route.of(each) == route]
            )
            if not pushers or not self._slots.holds(user_id):
                return
            courier = self._couriers[route.kind]
            look_at_ms = await courier.deliver(user_id, pushers, up_to=up_to)
        except SlotLost as error:
            log.info("pushers_left", user_id=user_id, reason=str(error))
        except DatabaseUnavailable as error:
            log.warning("push_interrupted", user_id=user_id, reason=str(error))
            self._note_at(user_id, self._clock.now_ms() + _AFTER_ERROR_MS)
        except Exception:
            # A bug, which would end the deliveries to everybody: they share a group.
            log.exception("push_failed", user_id=user_id, gateway=route.gateway)
            self._note_at(user_id, self._clock.now_ms() + _AFTER_ERROR_MS)
        else:
            if look_at_ms is not None:
                self._note_at(user_id, look_at_ms)
