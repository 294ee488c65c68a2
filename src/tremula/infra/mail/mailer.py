"""Hands mail to the operator's SMTP server.

aiosmtplib is loaded with the first message: many a server never sends one.
"""

import asyncio
import secrets
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from tremula.infra.clock import Clock
from tremula.infra.config import Mail as Settings
from tremula.infra.config import MailSecurity
from tremula.infra.mail.message import Mail, one_line, render

if TYPE_CHECKING:
    from aiosmtplib import SMTP

log = structlog.get_logger(__name__)

_AT_ONCE_MAX: Final = 4
_GOODBYE_S: Final = 2


class MailFailed(Exception):
    """The SMTP server did not take the message; the reason, on one line."""


class MailRefused(MailFailed):
    """It never will: it does not know the recipient."""


class Mailer:
    """Sends messages, each over a connection of its own, a few at once.

    Where it connects to is the operator's choice: the policy for the addresses of other
    servers does not apply.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        assert settings.host is not None
        assert settings.sender is not None
        self._host = settings.host
        self._settings = settings
        self._sender = settings.sender
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE_MAX)
        self._tls: ssl.SSLContext | None = None

    @property
    def place(self) -> str:
        """Where the SMTP server is, for people to read."""
        return f"{self._host}:{self._settings.port}"

    async def send(self, mail: Mail) -> None:
        """Have *mail* taken over by the SMTP server. Bounded in time.

        Raises:
            MailRefused: there is no such recipient.
            MailFailed: it was not taken. Both are logged already.
        """
        body = render(
            mail,
            self._sender,
            message_id=secrets.token_hex(16),
            ts_ms=self._clock.now_ms(),
        )
        try:
            await self._exchange(mail, body)
        except MailFailed as failure:
            log.warning("mail_failed", server=self.place, reason=str(failure))
            raise

    async def check(self) -> None:
        """Log in to the SMTP server, and send nothing.

        Raises:
            MailFailed: it can't be done.
        """
        await self._exchange(None, b"")

    async def _exchange(self, mail: Mail | None, body: bytes) -> None:
        from aiosmtplib import SMTPException, SMTPRecipientsRefused  # noqa: PLC0415

        client: SMTP | None = None
        try:
            async with asyncio.timeout(self._settings.timeout_s), self._turns:
                client = await self._client()
                await client.connect()
                if mail is not None:
                    await client.sendmail(self._sender.address, [mail.to], body)
            # What was taken over stays so, however the parting goes.
            with suppress(SMTPException):
                await client.quit(timeout=_GOODBYE_S)
        except SMTPRecipientsRefused as refused:
            codes = [each.code for each in refused.recipients]
            kind = MailRefused if min(codes) >= 500 else MailFailed
            raise kind(f"the recipient is refused ({codes[0]})") from refused
        except TimeoutError as error:
            raise MailFailed("there was no answer in time") from error
        except (SMTPException, OSError) as error:
            raise MailFailed(one_line(str(error)) or type(error).__name__) from error
        finally:
            if client is not None:
                client.close()

    async def _client(self) -> "SMTP":
        from aiosmtplib import SMTP  # noqa: PLC0415

        settings = self._settings
        is_plain = settings.security is MailSecurity.NONE
        if self._tls is None and not is_plain:
            self._tls = await asyncio.to_thread(self._load_tls)
        return SMTP(
            hostname=self._host,
            port=settings.port,
            username=settings.username,
            password=settings.password,
            local_hostname=self._sender.domain,
            timeout=settings.timeout_s,
            use_tls=settings.security is MailSecurity.TLS,
            start_tls=settings.security is MailSecurity.STARTTLS,
            tls_context=self._tls,
        )

    def _load_tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.trusted_ca_file is not None:
            context.load_verify_locations(self._settings.trusted_ca_file)
        return context
