"""The websockets of application services, wherever they are connected.

An application service has one of them. The process that has it tells the others, so
that whoever has something to deliver or to ask knows where, and tells it through the
journal. Transactions do not travel: they are read where they are stored.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.appservice_requests.service import (
    ProxiedRequest,
    ProxiedResponse,
    Unanswered,
    UnansweredInTime,
)
from tremula.features.appservice_transactions.service import (
    DeliveryFailed,
    find_begun,
)
from tremula.features.appservice_websockets.link import (
    ACKNOWLEDGED_S,
    Link,
    NotAnswered,
    NotAnsweredInTime,
)
from tremula.features.appservice_websockets.messages import (
    Ask,
    Call,
    Connected,
    Deliver,
    Disconnected,
    Done,
    Failed,
    Message,
    StillConnected,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.http import WebSocket
from tremula.infra.journal import Journal
from tremula.infra.supervisor import Supervisor
from tremula.protocol.appservice_websocket import (
    CONNECTION_REPLACED,
    disconnect_reason,
)

__all__ = ["TOPIC", "AppserviceWebsockets", "Command", "Message"]

log = structlog.get_logger(__name__)

TOPIC: Final = "appservice_websockets"
"""Announced with the ID of an application service and a `Message`, unstored."""

_REGISTRATION_CHANGED: Final = 4003
_TELL_EVERY_S: Final = 20.0
# A process that has crashed does not say that its websockets are gone.
_FORGOTTEN_AFTER_S: Final = 3 * _TELL_EVERY_S
_ANSWER_BYTES_MAX: Final = 256 * 1024
_TRAVEL_S: Final = 5.0

Command = Callable[[Appservice, object], Awaitable[None]]
"""Takes the data of a command of an application service.

Raises:
    MatrixError: it is not accepted.
"""


class _Place(Struct):
    """Where an application service is connected, and when that was last heard of."""

    link_id: str
    heard_s: float


class _Here(Struct, frozen=True):
    appservice: Appservice
    link: Link


class AppserviceWebsockets:
    """Implements `Courier` and `Way`."""

    def __init__(
        self,
        *,
        db: Reader,
        appservices: Appservices,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        commands: Mapping[str, Command],
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._commands = commands
        self._appservices = appservices
        self._links: dict[str, _Here] = {}
        self._places: dict[str, _Place] = {}
        self._calls: dict[str, asyncio.Future[Done]] = {}
        self._on_connected: list[Callable[[str], None]] = []
        journal.subscribe(TOPIC, self._hear)
        journal.on_forget(self._forget)
        appservices.on_changed(self._changed)

    def on_connected(self, callback: Callable[[str], None]) -> None:
        """Call *callback* with the ID of whoever has connected here."""
        self._on_connected.append(callback)

    @property
    def count(self) -> int:
        """How many are connected to this process."""
        return len(self._links)

    async def talk(self, appservice: Appservice, socket: WebSocket) -> None:
        """Keep a websocket that *appservice* has opened, to its end."""
        link_id = secrets.token_hex(8)
        commands = {
            name: partial(command, appservice)
            for name, command in self._commands.items()
        }
        link = Link(socket, commands, self._clock.now_ms)
        self._links[link_id] = _Here(appservice, link)
        pos = self._tell(appservice.id, Connected(link_id))
        log.info("appservice_connected", appservice=appservice.id)
        try:
            await self._journal.settled(pos)
            await link.listen()
        finally:
            del self._links[link_id]
            self._tell(appservice.id, Disconnected(link_id))
            log.info("appservice_disconnected", appservice=appservice.id)

    async def run(self) -> None:
        """Go on telling the other processes; for the supervisor."""
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            self.tell_again()

    def tell_again(self) -> None:
        """Tell what is connected here, and forget what was not told for long."""
        for link_id, here in self._links.items():
            self._tell(here.appservice.id, StillConnected(link_id))
        since_s = self._clock.monotonic_s() - _FORGOTTEN_AFTER_S
        self._places = {
            appservice_id: place
            for appservice_id, place in self._places.items()
            if place.heard_s >= since_s or place.link_id in self._links
        }

    # `Courier`

    def reaches(self, appservice: Appservice) -> bool:
        """Whether *appservice* is connected, to whichever process."""
        return appservice.id in self._places

    async def deliver(self, appservice: Appservice, txn_id: str, body: bytes) -> None:
        """See `Courier`."""
        link_id = self._places[appservice.id].link_id
        here = self._links.get(link_id)
        try:
            if here is not None:
                await here.link.deliver(txn_id, body)
            else:
                call = Deliver(link_id, secrets.token_hex(8), txn_id)
                await self._have_done(appservice.id, call, ACKNOWLEDGED_S)
        except NotAnswered as error:
            raise DeliveryFailed(str(error)) from error

    # `Way`

    def leads_to(self, appservice: Appservice) -> bool:
        """Whether *appservice* is connected, to whichever process."""
        return appservice.id in self._places

    async def request(
        self, appservice: Appservice, request: ProxiedRequest, *, timeout_s: float
    ) -> ProxiedResponse:
        """See `Way`."""
        link_id = self._places[appservice.id].link_id
        here = self._links.get(link_id)
        try:
            if here is not None:
                return await here.link.request(request, timeout_s=timeout_s)
            call = Ask(link_id, secrets.token_hex(8), request, timeout_s)
            done = await self._have_done(appservice.id, call, timeout_s)
        except NotAnsweredInTime as error:
            raise UnansweredInTime(str(error)) from error
        except NotAnswered as error:
            raise Unanswered(str(error)) from error
        assert done.response is not None, "it was a request"
        return done.response

    # Between processes

    def _tell(self, appservice_id: str, message: Message) -> int:
        return self._journal.ephemeral(TOPIC, appservice_id, message)

    async def _have_done(
        self, appservice_id: str, call: Call, timeout_s: float
    ) -> Done:
        """Have the process that has the websocket do it.

        Raises:
            NotAnswered: it could not.
        """
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._calls[call.call_id] = done
        try:
            async with asyncio.timeout(timeout_s + _TRAVEL_S):
                self._tell(appservice_id, call)
                return await done
        except TimeoutError as error:
            raise NotAnsweredInTime("there was no answer in time") from error
        finally:
            del self._calls[call.call_id]

    def _hear(self, _pos: int, key: Hashable, message: object) -> None:
        assert isinstance(key, str)
        match message:
            case Connected(link_id):
                self._connected(key, link_id)
            case StillConnected(link_id):
                self._is_there(key, link_id)
            case Disconnected(link_id):
                if self._is_at(key, link_id):
                    del self._places[key]
            case Deliver() | Ask():
                here = self._links.get(message.link_id)
                if here is not None:
                    work = partial(self._do, here, message)
                    self._supervisor.run_once("appservice_websocket_call", work)
            case Done() | Failed():
                self._done(message)

    def _connected(self, appservice_id: str, link_id: str) -> None:
        before = self._places.get(appservice_id)
        self._places[appservice_id] = _Place(link_id, self._clock.monotonic_s())
        replaced = None if before is None else self._links.get(before.link_id)
        if replaced is not None:
            reason = disconnect_reason("conn_replaced")
            replaced.link.close(CONNECTION_REPLACED, reason)
        if link_id in self._links:
            for callback in self._on_connected:
                callback(appservice_id)

    def _is_there(self, appservice_id: str, link_id: str) -> None:
        self._places.setdefault(appservice_id, _Place(link_id, 0))
        if self._is_at(appservice_id, link_id):
            self._places[appservice_id].heard_s = self._clock.monotonic_s()

    def _is_at(self, appservice_id: str, link_id: str) -> bool:
        place = self._places.get(appservice_id)
        return place is not None and place.link_id == link_id

    async def _do(self, here: _Here, call: Call) -> None:
        """Do what another process wants of a websocket that is here."""
        result: Done | Failed
        try:
            result = await self._result(here, call)
        except NotAnswered as error:
            is_late = isinstance(error, NotAnsweredInTime)
            result = Failed(call.call_id, str(error), is_late)
        self._tell(here.appservice.id, result)

    async def _result(self, here: _Here, call: Call) -> Done | Failed:
        if isinstance(call, Ask):
            response = await here.link.request(call.request, timeout_s=call.timeout_s)
            if len(response.body) > _ANSWER_BYTES_MAX:
                return Failed(call.call_id, "its answer is too long")
            return Done(call.call_id, response)
        begun = await find_begun(self._db, here.appservice.id)
        if begun is None or begun.txn_id != call.txn_id:
            return Failed(call.call_id, "another transaction has begun meanwhile")
        await here.link.deliver(begun.txn_id, begun.body)
        return Done(call.call_id)

    def _done(self, message: Done | Failed) -> None:
        done = self._calls.get(message.call_id)
        if done is None or done.done():
            return
        if isinstance(message, Done):
            done.set_result(message)
        elif message.is_late:
            done.set_exception(NotAnsweredInTime(message.reason))
        else:
            done.set_exception(NotAnswered(message.reason))

    def _forget(self) -> None:
        """What the other processes have, they tell again."""
        self._places = {
            appservice_id: place
            for appservice_id, place in self._places.items()
            if place.link_id in self._links
        }

    def _changed(self, appservice_id: str) -> None:
        """Whoever has connected by another registration has to connect anew."""
        now = self._appservices.find(appservice_id)
        for here in self._links.values():
            if here.appservice.id == appservice_id and here.appservice is not now:
                reason = disconnect_reason("registration_changed")
                here.link.close(_REGISTRATION_CHANGED, reason)
