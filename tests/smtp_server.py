"""A real SMTP server in the test's process, which keeps what it is given."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tremula.infra.config import Mail, MailSecurity
from tremula.protocol.email_addresses import Mailbox, parse_email_address

SENDER = Mailbox(parse_email_address("noreply@test"), "Test server")
USERNAME = "tremula"
PASSWORD = "letters only"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it came, and by which command it was addressed."""

    envelope_from: str
    envelope_to: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """Its headers and parts."""
        message = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def part(self, kind: str) -> str:
        """The text of ``text/plain`` or ``text/html``, without what folds its lines."""
        for part in self.message.walk():
            if part.get_content_type() == kind:
                text: str = part.get_content()
                return text.replace("\r\n", "\n")
        raise AssertionError(f"no {kind}")

    @property
    def text(self) -> str:
        """What programs that show no HTML show."""
        return self.part("text/plain")


# Without slots: aiosmtpd looks at all that it has, where Python 3.11.2 fails.
@dataclass
class SmtpServer:
    """Takes mail for everybody but *refused*, whose answer is the one given."""

    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    mails: list[Delivered] = field(default_factory=list)
    is_silent: bool = False
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def settings(self, security: MailSecurity = MailSecurity.NONE) -> Mail:
        """What has mail sent by this server."""
        return Mail(
            host="127.0.0.1",
            port=self.port,
            security=security,
            sender=SENDER,
            timeout_s=10,
        )

    async def take(self) -> Delivered:
        """The oldest message that was not taken yet; waits for it."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.mails)
            return self.mails.pop(0)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and arguments
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        if self.is_silent:
            await asyncio.Event().wait()
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        async with self.arrived:
            self.mails.append(
                Delivered(envelope.mail_from, envelope.rcpt_tos, envelope.content)
            )
            self.arrived.notify_all()
        return "250 OK"


class _Connection(SMTP):
    """aiosmtpd's, with a STARTTLS that works since Python 3.11."""

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        assert isinstance(self.transport, asyncio.Transport)
        assert self.tls_context is not None
        # The first bytes of TLS are none of SMTP's.
        self.transport.pause_reading()
        await self.push("220 Ready to start TLS")
        original = self._original_transport = self.transport
        waiter: asyncio.Future[None] = self.loop.create_future()
        tls = SSLProtocol(self.loop, self, self.tls_context, waiter, server_side=True)
        self._tls_protocol = tls
        original.set_protocol(tls)
        # As aiosmtpd does, but by the name that this is under since Python 3.11.
        self.transport = tls._get_app_transport()  # type: ignore[attr-defined]  # noqa: SLF001
        tls.connection_made(original)
        original.resume_reading()
        await waiter


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    login, password = getattr(data, "login", b""), getattr(data, "password", b"")
    is_known = (login, password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=is_known, handled=is_known)


@asynccontextmanager
async def running_smtp(
    *,
    tls: ssl.SSLContext | None = None,
    is_tls_from_the_start: bool = False,
    needs_login: bool = False,
) -> AsyncIterator[SmtpServer]:
    """An SMTP server on a free port; with *tls* it wants STARTTLS first, or is spoken
    to over TLS only.
    """
    smtp = SmtpServer()

    def protocol() -> SMTP:
        return _Connection(
            smtp,
            hostname="smtp.test",
            tls_context=None if is_tls_from_the_start else tls,
            require_starttls=tls is not None and not is_tls_from_the_start,
            authenticator=_authenticate,
            auth_required=needs_login,
            auth_require_tls=needs_login,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        protocol, "127.0.0.1", 0, ssl=tls if is_tls_from_the_start else None
    )
    smtp.port = server.sockets[0].getsockname()[1]
    try:
        yield smtp
    finally:
        server.close()
