"""SS askPolicyServerToSign, asked: what a sender is told, and when it is left alone."""

import orjson
import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.federation import FakeTransport
from tremula.features.policy_servers.service import RemotePolicyServers
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import SigningKey

OWN, POLICY = ServerName("test"), ServerName("policy.test")
_KEY = SigningKey.from_seed("ed25519:1", bytes(32))


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport(answer=b'{"policy.test":{}}')


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def servers(transport: FakeTransport, clock: FakeClock) -> RemotePolicyServers:
    return RemotePolicyServers(FederationClient(Peers(OWN), _KEY, transport), clock)


async def error_of(
    servers: RemotePolicyServers, server: ServerName = POLICY
) -> tuple[int, dict[str, object]]:
    with pytest.raises(MatrixError) as raised:
        await servers.ask(server, {"type": "m"})
    return raised.value.http_status, raised.value.body()


async def test_the_event_is_what_it_is_asked(
    servers: RemotePolicyServers, transport: FakeTransport
) -> None:
    assert await servers.ask(POLICY, {"type": "m"}) == {POLICY: {}}

    [sent] = transport.sent
    assert (sent.method, sent.uri) == ("POST", "/_matrix/policy/v1/sign")
    assert (sent.destination, sent.body) == (POLICY, b'{"type":"m"}')


SPAM = {"errcode": "M_FORBIDDEN", "error": "looks like spam"}


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (400, SPAM, (400, SPAM)),
        (403, SPAM, (403, SPAM)),
        (400, {"errcode": "M_BAD_JSON", "error": "x"}, None),
        (400, {"errcode": "M_NOT_JSON", "error": "x"}, None),
        (404, {"errcode": "M_NOT_FOUND", "error": "x"}, None),
        (404, {"errcode": "M_UNRECOGNIZED", "error": "x"}, None),
        (
            429,
            {"errcode": "M_LIMIT_EXCEEDED", "error": "x", "retry_after_ms": 5},
            None,
        ),
        # A client would think that it is logged out, or that the account is gone.
        (
            401,
            {"errcode": "M_UNKNOWN_TOKEN", "error": "x"},
            (403, {"errcode": "M_FORBIDDEN", "error": "x"}),
        ),
        (
            418,
            {"errcode": "M_USER_DEACTIVATED", "error": "x"},
            (403, {"errcode": "M_FORBIDDEN", "error": "x"}),
        ),
    ],
)
async def test_what_it_refuses_with_the_sender_is_told(
    servers: RemotePolicyServers,
    transport: FakeTransport,
    status: int,
    said: dict[str, object],
    told: tuple[int, dict[str, object]] | None,
) -> None:
    transport.status, transport.answer = status, orjson.dumps(said)

    assert await error_of(servers) == (told or (status, said))

    # It has answered, and is asked again at once.
    await error_of(servers)
    assert len(transport.sent) == 2


@pytest.mark.parametrize(
    ("is_down", "status", "answer"),
    [
        (True, 200, b""),
        (False, 200, b"<html>"),
        (False, 500, b'{"errcode":"M_UNKNOWN","error":"x"}'),
        (False, 502, b"<html>"),
    ],
)
async def test_one_that_does_not_answer_is_let_alone_for_a_while(
    servers: RemotePolicyServers,
    transport: FakeTransport,
    clock: FakeClock,
    is_down: bool,
    status: int,
    answer: bytes,
) -> None:
    good = transport.answer
    transport.is_down, transport.status, transport.answer = is_down, status, answer
    asked_s = []
    for second in range(200):
        before = len(transport.sent)
        assert (await error_of(servers))[0] == 502
        if len(transport.sent) > before:
            asked_s.append(second)
        clock.advance_ms(1_000)

    assert asked_s == [0, 5, 15, 35, 75, 135, 195]

    clock.advance_ms(60_000)
    transport.is_down, transport.status, transport.answer = False, 200, good
    await servers.ask(POLICY, {})
    assert not len(servers.pauses)


async def test_this_server_is_none(
    servers: RemotePolicyServers, transport: FakeTransport
) -> None:
    assert (await error_of(servers, OWN))[0] == 403
    assert transport.sent == []
