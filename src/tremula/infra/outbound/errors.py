"""What can go wrong on the way out. None of these is told to a client as it is."""


class OutboundError(Exception):
    """A request to another server failed; the message says why, on one line."""


class ConnectFailed(OutboundError):
    """No connection: name, address or certificate. Nothing of the request was sent."""


class NameNotFound(ConnectFailed):
    """The name has no address."""


class AddressRefused(ConnectFailed):
    """The address is not one that this server may connect to."""


class RequestFailed(OutboundError):
    """The connection broke, or what came over it is not HTTP."""


class TimedOut(OutboundError):
    """The answer, or its next piece, did not come in time."""


class AnswerTooLarge(OutboundError):
    """The answer has more bytes than asked for."""


class BadUrl(OutboundError):
    """A URL that no request can be made to."""


class BadRedirect(OutboundError):
    """A redirect goes too far, or to where none may go."""
