"""E-mail addresses as third-party identifiers (Appendices "E-Mail").

Stricter than RFC 5322: no quoting, no comments, no address literals, nothing but ASCII
once it is folded. So an address can stand in a header or an SMTP command as it is, and
there is one way only to write it.
"""

import re
from typing import Final, NewType

from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.unprinted import Unprinted

EmailAddress = NewType("EmailAddress", str)

# RFC 5321, 4.5.3.1: what every mail server must take.
_ADDRESS_CHARS_MAX: Final = 254
_LOCAL_CHARS_MAX: Final = 64
_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAILBOX: Final = re.compile(r"(?P<name>[^<>\"\x00-\x1f\x7f]*)<(?P<address>[^<>]+)>")


class Mailbox(Struct, frozen=True):
    """An address, and the name that is shown beside it."""

    address: EmailAddress
    display_name: str = ""

    @property
    def domain(self) -> str:
        """The part of the address after the ``@``."""
        return self.address.rpartition("@")[2]


class InvitedAddress(Unprinted, frozen=True):
    """Who is invited, and the identity server that is to be asked for them."""

    address: EmailAddress
    id_server: str | None = None
    id_access_token: str | None = None


def parse_email_address(raw: object) -> EmailAddress:
    """*raw* in its canonical form: "apply the unicode case-folding algorithm".

    Mail has to be sent to this form and never to *raw*: letters of other scripts fold
    to ASCII, so that both may be mailboxes of different people.

    Raises:
        InvalidParam: it is not an address that mail could be sent to.
    """
    if not isinstance(raw, str) or len(raw) > _ADDRESS_CHARS_MAX:
        raise InvalidParam("not a valid e-mail address")
    address = raw.casefold()
    local, _, domain = address.rpartition("@")
    if (
        not _LOCAL.fullmatch(local)
        or not _DOMAIN.fullmatch(domain)
        or len(local) > _LOCAL_CHARS_MAX
        or len(address) > _ADDRESS_CHARS_MAX
    ):
        raise InvalidParam("not a valid e-mail address")
    return EmailAddress(address)


def parse_mailbox(raw: str) -> Mailbox:
    """``Name <user@example.org>``, or an address alone.

    Raises:
        InvalidParam: it is neither.
    """
    match = _MAILBOX.fullmatch(raw)
    if match is None:
        return Mailbox(parse_email_address(raw))
    return Mailbox(parse_email_address(match["address"]), match["name"].strip())
