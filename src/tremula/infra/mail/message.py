"""What is sent, and the bytes it is sent as (RFC 5322)."""

import re
from email.utils import formatdate
from typing import Final

from msgspec import Struct

from tremula.protocol.email_addresses import EmailAddress, Mailbox

_HEADER_CHARS_MAX: Final = 200
# Ends of lines, what turns the direction of the text after it, what can't be encoded.
_NOT_IN_HEADER: Final = re.compile(
    "[\x00-\x20\x7f-\xa0\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_NOT_IN_BODY: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Mail(Struct, frozen=True, kw_only=True):
    """A message to one person, as text and, if wanted, as HTML as well.

    The texts may hold what strangers wrote; in HTML it has to be escaped already. A
    POST to ``unsubscribe_url`` ends such messages.
    """

    to: EmailAddress
    subject: str
    text: str
    html: str | None = None
    unsubscribe_url: str | None = None


def one_line(text: str) -> str:
    """*text* as it may stand in a header: no ends of lines, and not too long."""
    line = _NOT_IN_HEADER.sub(" ", text).strip()
    if len(line) <= _HEADER_CHARS_MAX:
        return line
    return line[: _HEADER_CHARS_MAX - 1] + "…"


def render(mail: Mail, sender: Mailbox, *, message_id: str, ts_ms: int) -> bytes:
    """The bytes for SMTP's DATA; *message_id* is the part before the ``@``."""
    # A server that sends no mail does not load them.
    from email.headerregistry import Address  # noqa: PLC0415
    from email.message import EmailMessage  # noqa: PLC0415
    from email.policy import SMTP  # noqa: PLC0415

    message = EmailMessage(policy=SMTP)
    message["From"] = Address(
        one_line(sender.display_name), addr_spec=str(sender.address)
    )
    message["To"] = Address(addr_spec=str(mail.to))
    message["Subject"] = one_line(mail.subject)
    message["Date"] = formatdate(ts_ms / 1000)
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    # RFC 3834: nobody's holiday is announced to us.
    message["Auto-Submitted"] = "auto-generated"
    if mail.unsubscribe_url is not None:
        # RFC 8058: the mail program shows a button.
        message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_NOT_IN_BODY.sub("", mail.text), cte="quoted-printable")
    if mail.html is not None:
        html = _NOT_IN_BODY.sub("", mail.html)
        message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message.as_bytes()
