"""Who may connect to NATS, and to whom we speak: passwords, tokens, TLS."""

from pathlib import Path

import pytest

from tests.fakes.remote import authority, trusted_ca_file, validity
from tests.infra.bus.connecting import DEADLINE_S, connected, logged, start
from tests.infra.bus.nats_accounts import Accounts
from tests.nats_server import running_nats
from tremula.infra.bus import Answer
from tremula.infra.bus.nats_bus import NatsTrust
from tremula.infra.bus.nats_servers import parse_nats_url
from tremula.infra.certificates import issue
from tremula.infra.supervisor import Supervisor

USER = 'authorization: { user: "tre", password: "p@ss word" }'
TOKEN = 'authorization: { token: "t0ken" }'


def echo(payload: bytes, answer: Answer) -> None:
    answer(payload)


async def speaks(
    supervisor: Supervisor, url: str, trust: NatsTrust | None = None
) -> bool:
    bus = await connected(supervisor, url, trust=trust)
    await bus.serve("echo", echo)
    return await bus.request("echo", b"x", DEADLINE_S) == b"x"


def tls_settings(folder: Path, *, signs_itself: bool = False) -> str:
    """A certificate for 127.0.0.1, and the lines that make the server show it."""
    issuer = None if signs_itself else authority()
    certificate = issue(["127.0.0.1"], validity(), issuer)
    files = {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"}
    files["cert_file"].write_bytes(certificate.certificate_pem())
    files["key_file"].write_bytes(certificate.key_pem())
    lines = [f'{name}: "{file}"' for name, file in files.items()]
    return "\n".join(["tls {", *lines, "}"])


@pytest.mark.parametrize(
    ("settings", "login"), [(USER, "tre:p%40ss%20word"), (TOKEN, "t0ken")]
)
async def test_credentials_in_the_url_are_shown(
    settings: str, login: str, tmp_path: Path, supervisor: Supervisor
) -> None:
    with running_nats(tmp_path, settings) as server:
        assert await speaks(supervisor, f"nats://{login}@{server.place}")


async def test_a_credentials_file_of_nats_is_shown(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    accounts = Accounts()
    file = tmp_path / "tremula.creds"
    file.write_text(accounts.credentials(), encoding="ascii")
    with running_nats(tmp_path, accounts.settings()) as server:
        trust = NatsTrust(credentials_file=file)
        assert await speaks(supervisor, server.url, trust)


async def test_a_wrong_password_is_told_without_repeating_it(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    with running_nats(tmp_path, USER) as server, logged() as logs:
        start(supervisor, f"nats://tre:secret@{server.place}")
        refusal = await logs.until("bus_unreachable")

    assert "Authorization Violation" in str(refusal)
    assert "secret" not in str(refusal)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_server_with_tls_is_known_by_its_authority(
    scheme: str, tmp_path: Path, supervisor: Supervisor
) -> None:
    trust = NatsTrust(ca_file=trusted_ca_file(tmp_path))
    with running_nats(tmp_path, tls_settings(tmp_path)) as server:
        assert await speaks(supervisor, f"{scheme}://{server.place}", trust)


@pytest.mark.parametrize("is_encrypted", [True, False])
async def test_no_password_is_given_to_a_server_that_proves_nothing(
    tmp_path: Path, supervisor: Supervisor, *, is_encrypted: bool
) -> None:
    """An unknown certificate, or none though the URL says ``tls://``."""
    settings = tls_settings(tmp_path, signs_itself=True) if is_encrypted else ""
    trust = NatsTrust(ca_file=trusted_ca_file(tmp_path))
    with (
        running_nats(tmp_path, f"{settings}\ntrace: true") as server,
        logged() as logs,
    ):
        start(supervisor, f"tls://tre:secret@{server.place}", trust=trust)
        await logs.until("bus_unreachable")
        seen = (tmp_path / f"nats-{server.port}.log").read_text("utf-8")

    assert "Server is ready" in seen
    assert "CONNECT" not in seen


@pytest.mark.parametrize(
    "url",
    ["http://a", "nats://", "nats://a/b", "nats://a:b", "nats://a?x", "a:4222", ""],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_nats_url(url)
    assert "secret" not in str(caught.value)


def test_a_url_has_a_port_even_if_it_names_none() -> None:
    server = parse_nats_url("nats://user:secret@[::1]")

    assert server.place == "[::1]:4222"
    assert "secret" not in repr(server)
