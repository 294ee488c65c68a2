"""What a client is told when the server that had to be asked for it does not help."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tremula.infra.federation.errors import FederationDenied, PeerError, RemoteError
from tremula.protocol.errors import Forbidden, MatrixError, NotFound, Unknown

_SAME_FOR_US: Final[dict[int, type[MatrixError]]] = {403: Forbidden, 404: NotFound}
_BAD_GATEWAY: Final = 502


@contextmanager
def relaying() -> Iterator[None]:
    """Tell the client what another server answers, or that it does not.

    Raises:
        Forbidden: the other server says so, or this server does not speak with it.
        NotFound: the other server says so.
        Unknown: (502) it did not answer, or nothing of use.
    """
    try:
        yield
    except FederationDenied as error:
        raise Forbidden(str(error)) from error
    except PeerError as error:
        relayed = _SAME_FOR_US.get(error.status)
        if relayed is not None:
            raise relayed(error.message) from error
        raise _unhelpful() from error
    except RemoteError as error:
        raise _unhelpful() from error


def _unhelpful() -> Unknown:
    # Without what went wrong: it may name addresses of our network.
    return Unknown("The other server could not be reached.", status=_BAD_GATEWAY)
