"""Certificates of listeners are renewed while the server runs."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes.remote import authority, trusted_ca_file, validity
from tremula.infra.certificates import Certificate, issue
from tremula.infra.config import Api, Listener, Tls
from tremula.infra.http.application import Application
from tremula.infra.http.errors import ListenError
from tremula.infra.http.served_certificate import ServedCertificate
from tremula.infra.http.server import HttpServer

DEADLINE_S = 10


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate and its key, and a client who trusts their authority."""

    tls: Tls
    trust: ssl.SSLContext

    def renew(self) -> Certificate:
        """Put new ones into the files."""
        issued = new_certificate()
        self.tls.certificate.write_bytes(issued.certificate_pem())
        self.tls.key.write_bytes(issued.key_pem())
        return issued


def new_certificate() -> Certificate:
    return issue(["localhost"], validity(), authority())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    return Files(tls, ssl.create_default_context(cafile=trusted_ca_file(tmp_path)))


async def presented_at(port: int, trust: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname="localhost"
    )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    found = tls.getpeercert()
    writer.transport.abort()
    assert found
    return int(str(found["serialNumber"]), 16)


async def presented_by(served: ServedCertificate, trust: ssl.SSLContext) -> int:
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=served.context
    )
    async with server:
        return await presented_at(server.sockets[0].getsockname()[1], trust)


async def test_a_renewed_certificate_is_served_without_a_restart(
    files: Files, application: Application
) -> None:
    old = files.renew()
    server = HttpServer(application, refresh_s=0.01)
    await server.listen([Listener(port=0, apis=tuple(Api), tls=files.tls)])
    [port] = server.ports
    assert await presented_at(port, files.trust) == old.x509.serial_number

    with capture_logs() as logs:
        new = files.renew()
        async with asyncio.timeout(DEADLINE_S):
            while await presented_at(port, files.trust) != new.x509.serial_number:
                pass

    assert logs[-1]["event"] == "certificate_reloaded"
    await server.stop(grace_s=0)


async def test_half_of_a_renewed_pair_is_not_served(files: Files) -> None:
    old, new = files.renew(), new_certificate()
    served = ServedCertificate(files.tls)

    files.tls.certificate.write_bytes(new.certificate_pem())
    with capture_logs() as logs:
        served.refresh()
        served.refresh()
    [warning] = logs
    assert (warning["event"], warning["log_level"]) == (
        "certificate_not_reloaded",
        "warning",
    )
    assert "KEY_VALUES_MISMATCH" in warning["reason"]
    assert await presented_by(served, files.trust) == old.x509.serial_number

    files.tls.key.write_bytes(new.key_pem())
    served.refresh()
    assert await presented_by(served, files.trust) == new.x509.serial_number


async def test_files_that_are_gone_leave_the_old_certificate(files: Files) -> None:
    old = files.renew()
    served = ServedCertificate(files.tls)

    files.tls.key.unlink()
    with capture_logs() as logs:
        served.refresh()
    assert "No such file" in logs[0]["reason"]
    assert await presented_by(served, files.trust) == old.x509.serial_number

    new = files.renew()
    served.refresh()
    assert await presented_by(served, files.trust) == new.x509.serial_number


async def test_files_that_stay_are_not_read_again(files: Files) -> None:
    files.renew()
    served = ServedCertificate(files.tls)

    with capture_logs() as logs:
        served.refresh()

    assert logs == []


def test_a_key_of_another_certificate_is_named_at_the_start(files: Files) -> None:
    files.renew()
    files.tls.key.write_bytes(new_certificate().key_pem())

    with pytest.raises(ListenError, match=r"cert\.pem.*key\.pem: .*MISMATCH"):
        ServedCertificate(files.tls)
