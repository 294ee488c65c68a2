"""``tremula cert``: what it writes is what TLS accepts."""

import socket
import ssl
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from tremula.cli.commands import run
from tremula.cli.failures import ExitCode

Refusal = Callable[[list[str], str], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files are written here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run a command that must be refused with one line that holds a text."""

    def refused(arguments: list[str], expected: str) -> None:
        assert run(arguments) == ExitCode.REFUSED
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1

    return refused


def shake_hands(trusted: str, name: str) -> None:
    """Connect to a server that shows ``tremula-cert.pem``, which must be of *name*."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain("tremula-cert.pem", "tremula-key.pem")
    asking = ssl.create_default_context(cafile=trusted)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except ssl.SSLError:
            theirs.close()

    server = Thread(target=serve)
    server.start()
    try:
        asking.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        server.join()


@pytest.mark.parametrize("name", ["example.org", "127.0.0.1", "::1"])
def test_a_self_signed_certificate_is_good_for_its_hosts(name: str) -> None:
    hosts = ["example.org", "127.0.0.1", "::1"]
    assert run(["cert", "self-signed", *hosts]) == ExitCode.OK

    shake_hands("tremula-cert.pem", name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands("tremula-cert.pem", "example.com")


def test_an_authority_vouches_for_what_it_issues(folder: Path) -> None:
    assert run(["cert", "authority"]) == ExitCode.OK
    assert run(["cert", "issue", "example.org"]) == ExitCode.OK

    shake_hands("tremula-ca.pem", "example.org")
    for name in ("tremula-key.pem", "tremula-ca-key.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_no_file_is_overwritten(folder: Path, refusal: Refusal) -> None:
    assert run(["cert", "self-signed", "example.org"]) == ExitCode.OK
    before = (folder / "tremula-key.pem").read_bytes()

    refusal(["cert", "self-signed", "example.org"], "tremula-key.pem can't be written")
    assert (folder / "tremula-key.pem").read_bytes() == before


@pytest.mark.parametrize("host", ["a b", "example.org:8448", "[::1]", "", "a/b"])
def test_what_is_no_host_is_refused(host: str, refusal: Refusal) -> None:
    refusal(["cert", "self-signed", host], "is neither a host name nor an IP address")


def test_a_command_without_its_files_or_hosts_is_refused(
    folder: Path, refusal: Refusal
) -> None:
    refusal(["cert", "self-signed"], "name at least one host")
    refusal(["cert", "issue", "example.org"], "tremula-ca.pem can't be read")
    (folder / "tremula-ca.pem").write_text("none")
    (folder / "tremula-ca-key.pem").write_text("none")
    refusal(["cert", "issue", "example.org"], "are no authority")


def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, refusal: Refusal
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)

    refusal(["cert", "self-signed", "example.org"], "pip install 'tremula[cert]'")
