"""What processes tell each other of the websockets that they have."""

from msgspec import Struct

from tremula.features.appservice_requests.service import (
    ProxiedRequest,
    ProxiedResponse,
)


class Connected(Struct, frozen=True, tag=True):
    """An application service has opened a websocket, in the place of any other."""

    link_id: str


class StillConnected(Struct, frozen=True, tag=True):
    """It is still there; for processes that have not heard of it."""

    link_id: str


class Disconnected(Struct, frozen=True, tag=True):
    """It is there no longer."""

    link_id: str


class Deliver(Struct, frozen=True, tag=True):
    """Whoever has the websocket: deliver the transaction that is stored as begun."""

    link_id: str
    call_id: str
    txn_id: str


class Ask(Struct, frozen=True, tag=True):
    """Whoever has the websocket: have this answered by the other side."""

    link_id: str
    call_id: str
    request: ProxiedRequest
    timeout_s: float


class Done(Struct, frozen=True, tag=True):
    """What became of a call; without a response if it was a delivery."""

    call_id: str
    response: ProxiedResponse | None = None


class Failed(Struct, frozen=True, tag=True):
    """Why nothing became of it."""

    call_id: str
    reason: str
    is_late: bool = False


Call = Deliver | Ask
Message = Connected | StillConnected | Disconnected | Call | Done | Failed
