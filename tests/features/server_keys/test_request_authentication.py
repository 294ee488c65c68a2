"""SS "Request Authentication": who is let in, and who is not."""

import pytest

from tests.fakes.key_servers import DAY_MS, KeyServer, key_of
from tests.features.server_keys.ring import ORIGIN, OWN, Setting
from tests.http_client import Client, HttpResponse
from tests.infra.http import routes
from tests.infra.http.conftest import FakeAuthenticator
from tests.infra.http.routes import Notes
from tests.protocol.test_server_keys import ESS_SEED
from tremula.features.server_keys.request_authentication import RequestAuthentication
from tremula.infra.config import RateLimits
from tremula.infra.federation.peers import Peers
from tremula.infra.http import Router
from tremula.infra.http.application import Application
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import OldKey
from tremula.protocol.signing import SigningKey
from tremula.protocol.x_matrix import SignedRequest, authorization_header

PATH = "/signed/a%2Fb?x=y"


@pytest.fixture
def origin(setting: Setting) -> KeyServer:
    """The server that makes the requests."""
    return setting.network.add(ORIGIN, 1)


def client_of(setting: Setting) -> Client:
    router = Router()
    router.add(routes, Notes())
    application = Application(
        router=router,
        authenticator=FakeAuthenticator(),
        limiter=RateLimiter(RateLimits(enabled=False), setting.clock),
        metrics=Metrics(),
        servers=RequestAuthentication(
            setting.peers, setting.ring(), setting.clock, setting.heard.append
        ),
    )
    return Client(application.for_listener())


def signed(
    *,
    key: SigningKey | None = None,
    origin: str = ORIGIN,
    destination: str = OWN,
    content: object = None,
) -> str:
    """The header of a PUT by *origin*."""
    request = SignedRequest(
        method="PUT",
        uri=PATH,
        origin=ServerName(origin),
        destination=ServerName(destination),
        content={} if content is None else content,
    )
    return authorization_header(request, key or key_of(1))


async def put(
    setting: Setting, authorization: str | None, content: object = None
) -> HttpResponse:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await client_of(setting).put(
        PATH, {} if content is None else content, headers=headers
    )


def refusal(response: HttpResponse) -> tuple[int, str]:
    return response.status, response.json["errcode"]


async def test_a_signed_request_is_let_in(setting: Setting, origin: KeyServer) -> None:
    content = {"pdus": [1, {"ä": "\0"}]}

    response = await put(setting, signed(content=content), content)

    assert response.json == {"origin": ORIGIN, "body": content}
    assert setting.heard == [ORIGIN]


async def test_numbers_of_old_rooms_are_let_in(
    setting: Setting, origin: KeyServer
) -> None:
    """One event of room version 1 must not keep out a whole transaction."""
    content = {"pdus": [1.5, 2**53, 2**63]}

    assert (await put(setting, signed(content=content), content)).status == 200


async def test_an_old_server_may_leave_out_the_destination(
    setting: Setting, origin: KeyServer
) -> None:
    header = signed().replace(f',destination="{OWN}"', "")

    assert "destination" not in header
    assert (await put(setting, header)).status == 200


async def test_without_a_destination_it_is_signed_all_the_same(
    setting: Setting, origin: KeyServer
) -> None:
    """A request to another server cannot be replayed here by dropping the name."""
    header = signed(destination="other.org").replace(',destination="other.org"', "")

    assert refusal(await put(setting, header)) == (401, "M_UNAUTHORIZED")


async def test_a_request_to_another_server_is_refused(
    setting: Setting, origin: KeyServer
) -> None:
    response = await put(setting, signed(destination="other.org"))

    assert refusal(response) == (401, "M_UNAUTHORIZED")
    assert origin.requests == 0


@pytest.mark.parametrize("authorization", [None, "", "Bearer alice", "X-Matrix a=b"])
async def test_an_unsigned_request_is_refused(
    setting: Setting, authorization: str | None
) -> None:
    assert refusal(await put(setting, authorization)) == (401, "M_UNAUTHORIZED")


async def test_another_body_is_refused(setting: Setting, origin: KeyServer) -> None:
    response = await put(setting, signed(content={"a": 1}), {"a": 2})

    assert refusal(response) == (401, "M_UNAUTHORIZED")


async def test_another_method_is_refused(setting: Setting, origin: KeyServer) -> None:
    response = await client_of(setting).get(PATH, headers={"Authorization": signed()})

    assert refusal(response) == (401, "M_UNAUTHORIZED")


async def test_another_query_is_refused(setting: Setting, origin: KeyServer) -> None:
    response = await client_of(setting).put(
        PATH + "&z", {}, headers={"Authorization": signed()}
    )

    assert refusal(response) == (401, "M_UNAUTHORIZED")


async def test_a_key_of_another_server_is_refused(
    setting: Setting, origin: KeyServer
) -> None:
    setting.network.add("other.org", 2)

    for key in (key_of(2), SigningKey.from_seed("ed25519:k1", b"\x02" * 32)):
        assert refusal(await put(setting, signed(key=key))) == (401, "M_UNAUTHORIZED")


async def test_a_server_that_cannot_be_asked_is_refused(setting: Setting) -> None:
    assert refusal(await put(setting, signed())) == (401, "M_UNAUTHORIZED")


async def test_an_old_key_signs_no_requests(
    setting: Setting, origin: KeyServer
) -> None:
    """SS "Publishing Keys": those "are only valid for signing events"."""
    origin.key = key_of(2)
    origin.old = (OldKey("ed25519:k1", key_of(1).public_key, setting.clock.now_ms()),)
    setting.clock.advance_ms(1)

    assert refusal(await put(setting, signed())) == (401, "M_UNAUTHORIZED")
    assert (await put(setting, signed(key=key_of(2)))).status == 200


async def test_an_expired_key_is_refused(setting: Setting, origin: KeyServer) -> None:
    assert (await put(setting, signed())).status == 200
    origin.is_down = True
    setting.clock.advance_ms(DAY_MS + 1)

    assert refusal(await put(setting, signed())) == (401, "M_UNAUTHORIZED")


async def test_cve_2026_24044_a_key_that_everybody_has_is_refused(
    setting: Setting, origin: KeyServer
) -> None:
    origin.key = SigningKey.from_seed("ed25519:0", ESS_SEED)

    response = await put(setting, signed(key=origin.key))

    assert refusal(response) == (401, "M_UNAUTHORIZED")


@pytest.mark.parametrize(
    "peers",
    [
        Peers(OWN, is_enabled=False),
        Peers(OWN, denied=frozenset({ORIGIN})),
        Peers(OWN, allowed=frozenset({"other.org"})),
    ],
    ids=["off", "denied", "not allowed"],
)
async def test_who_is_not_permitted_is_refused(
    setting: Setting, origin: KeyServer, peers: Peers
) -> None:
    setting.peers = peers

    assert refusal(await put(setting, signed())) == (403, "M_FORBIDDEN")
    assert origin.requests == 0


async def test_letter_case_does_not_hide_a_denied_server(setting: Setting) -> None:
    setting.peers = Peers(OWN, denied=frozenset({ORIGIN}))

    response = await put(setting, signed(origin=ORIGIN.upper()))

    assert refusal(response) == (403, "M_FORBIDDEN")


async def test_nobody_speaks_in_this_servers_own_name(setting: Setting) -> None:
    response = await put(setting, signed(key=setting.own.current, origin=OWN))

    assert refusal(response) == (403, "M_FORBIDDEN")
