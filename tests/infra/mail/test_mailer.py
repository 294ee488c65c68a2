"""The mailer against a real SMTP server."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from tests.fakes.remote import authority, server_tls, trusted_ca_file, validity
from tests.smtp_server import PASSWORD, USERNAME, running_smtp
from tremula.infra.certificates import issue
from tremula.infra.config import Mail as Settings
from tremula.infra.config import MailSecurity
from tremula.infra.mail import Mail, Mailer, MailFailed, MailRefused
from tremula.protocol.email_addresses import parse_email_address

MAIL = Mail(
    to=parse_email_address("alice@example.org"),
    subject="Hello",
    text=".\nA line with a dot alone must not end the message.\n",
)


def mailer_for(settings: Settings) -> Mailer:
    """A mailer at a time that stands still."""
    return Mailer(settings, FakeClock())


def tls_of(name: str, folder: Path) -> ssl.SSLContext:
    """What a server shows that has a certificate for *name*."""
    return server_tls(issue([name], validity(), authority()), folder)


async def test_a_message_arrives_whole() -> None:
    async with running_smtp() as smtp:
        await mailer_for(smtp.settings()).send(MAIL)
        mail = await smtp.take()

    assert mail.envelope_from == "noreply@test"
    assert mail.envelope_to == ["alice@example.org"]
    assert mail.text == MAIL.text
    assert mail.message["Subject"] == "Hello"


async def test_it_goes_out_over_tls_with_a_login(tmp_path: Path) -> None:
    async with running_smtp(
        tls=tls_of("127.0.0.1", tmp_path), needs_login=True
    ) as smtp:
        settings = replace(
            smtp.settings(MailSecurity.STARTTLS),
            trusted_ca_file=trusted_ca_file(tmp_path),
            username=USERNAME,
            password=PASSWORD,
        )
        await mailer_for(settings).send(MAIL)
        await mailer_for(settings).check()
        wrong = mailer_for(replace(settings, password="guessed"))
        with pytest.raises(MailFailed):
            await wrong.check()

    assert len(smtp.mails) == 1


async def test_it_goes_out_over_tls_from_the_start(tmp_path: Path) -> None:
    async with running_smtp(
        tls=tls_of("127.0.0.1", tmp_path), is_tls_from_the_start=True
    ) as smtp:
        settings = replace(
            smtp.settings(MailSecurity.TLS), trusted_ca_file=trusted_ca_file(tmp_path)
        )
        await mailer_for(settings).send(MAIL)
        assert (await smtp.take()).text == MAIL.text

        with pytest.raises(MailFailed, match="certificate"):
            await mailer_for(replace(settings, trusted_ca_file=None)).send(MAIL)


async def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    async with running_smtp(tls=tls_of("other.test", tmp_path)) as smtp:
        settings = replace(
            smtp.settings(MailSecurity.STARTTLS),
            trusted_ca_file=trusted_ca_file(tmp_path),
        )
        with pytest.raises(MailFailed, match="certificate"):
            await mailer_for(settings).send(MAIL)

    assert not smtp.mails


async def test_nothing_goes_out_in_the_clear_where_tls_is_asked_for() -> None:
    """As if someone on the way had taken STARTTLS out of the server's answer."""
    async with running_smtp() as smtp:
        with pytest.raises(MailFailed):
            await mailer_for(smtp.settings(MailSecurity.STARTTLS)).send(MAIL)

    assert not smtp.mails


async def test_who_is_refused_for_good_is_told_apart() -> None:
    async with running_smtp() as smtp:
        mailer = mailer_for(smtp.settings())
        smtp.refused["alice@example.org"] = "550 No such user"
        with pytest.raises(MailRefused):
            await mailer.send(MAIL)
        smtp.refused["alice@example.org"] = "451 Try again later"
        with pytest.raises(MailFailed) as caught:
            await mailer.send(MAIL)

    assert type(caught.value) is MailFailed


async def test_a_failure_is_one_line_of_the_log_without_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with running_smtp() as smtp:
        settings = replace(smtp.settings(), port=port)
    with capture_logs() as logs, pytest.raises(MailFailed):
        await mailer_for(settings).send(MAIL)

    [line] = logs
    assert line["event"] == "mail_failed"
    assert line["server"] == f"127.0.0.1:{port}"
    assert "\n" not in line["reason"]
    assert "alice" not in str(line)


async def test_who_does_not_answer_is_given_up() -> None:
    async with running_smtp() as smtp:
        smtp.is_silent = True
        settings = replace(smtp.settings(), timeout_s=1)
        failures = await asyncio.gather(
            *(mailer_for(settings).send(MAIL) for _ in range(3)), return_exceptions=True
        )

    assert [type(each) for each in failures] == [MailFailed] * 3
