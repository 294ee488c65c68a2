"""SS "Resolving server names", step by step."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.resolver import FakeResolver
from tests.fakes.web import FakeWeb
from tremula.infra.federation.discovery import Discovery, in_rfc2782_order
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.endpoint import Endpoint
from tremula.infra.outbound.resolver import SrvRecord
from tremula.protocol.identifiers import ServerName

FED = "_matrix-fed._tcp."
OLD = "_matrix._tcp."


def srv(target: str, port: int, priority: int = 10, weight: int = 0) -> SrvRecord:
    return SrvRecord(priority=priority, weight=weight, port=port, target=target)


@dataclass(slots=True)
class World:
    """The web and the DNS, empty until the test says something."""

    web: FakeWeb = field(default_factory=FakeWeb)
    resolver: FakeResolver = field(default_factory=FakeResolver)
    clock: FakeClock = field(default_factory=FakeClock)

    def discovery(self) -> Discovery:
        """A server's view of it that remembers nothing yet."""
        known = WellKnown(self.web, self.clock)
        rng = random.Random(1)  # noqa: S311 - repeatable
        return Discovery(known, self.resolver, self.clock, rng=rng)

    def delegate(self, hostname: str, to: str) -> None:
        """Put *to* into the well-known of *hostname*."""
        url = f"https://{hostname}/.well-known/matrix/server"
        self.web.put(url, f'{{"m.server":"{to}"}}'.encode())


def at(host: str, port: int, tls_name: str, host_header: str) -> Endpoint:
    return Endpoint(host=host, port=port, tls_name=tls_name, host_header=host_header)


# What the name says itself: (server name, where to).
EXPLICIT = [
    ("1.2.3.4", at("1.2.3.4", 8448, "1.2.3.4", "1.2.3.4")),
    ("1.2.3.4:80", at("1.2.3.4", 80, "1.2.3.4", "1.2.3.4:80")),
    ("[2606::1]", at("2606::1", 8448, "2606::1", "[2606::1]")),
    ("[2606::1]:443", at("2606::1", 443, "2606::1", "[2606::1]:443")),
    ("example.org:443", at("example.org", 443, "example.org", "example.org:443")),
    ("Example.ORG:443", at("example.org", 443, "example.org", "Example.ORG:443")),
]


@pytest.mark.parametrize(("name", "expected"), EXPLICIT)
async def test_steps_1_and_2_an_ip_literal_or_a_port_says_all(
    name: str, expected: Endpoint
) -> None:
    world = World()
    world.delegate("example.org", "elsewhere.org")

    assert await world.discovery().endpoints(ServerName(name)) == (expected,)
    assert not world.web.asked
    assert not world.resolver.asked


@pytest.mark.parametrize(("name", "expected"), EXPLICIT)
async def test_steps_3_1_and_3_2_so_does_a_delegate(
    name: str, expected: Endpoint
) -> None:
    world = World()
    world.delegate("delegating.org", name)

    found = await world.discovery().endpoints(ServerName("delegating.org"))

    assert list(found) == [expected]
    assert not world.resolver.asked


# Steps 3.3 to 3.5 for a delegate, 4 to 6 for the name itself: (SRV records, where to).
BY_DNS: dict[str, tuple[dict[str, tuple[SrvRecord, ...]], Endpoint]] = {
    "the registered service": (
        {FED + "example.org": (srv("Target.test.", 443),)},
        at("target.test", 443, "example.org", "example.org"),
    ),
    "the deprecated service": (
        {OLD + "example.org": (srv("old.test", 444),)},
        at("old.test", 444, "example.org", "example.org"),
    ),
    "the registered service before the deprecated one": (
        {
            FED + "example.org": (srv("new.test", 443),),
            OLD + "example.org": (srv("old.test", 444),),
        },
        at("new.test", 443, "example.org", "example.org"),
    ),
    "no service": ({}, at("example.org", 8448, "example.org", "example.org")),
}


@pytest.mark.parametrize("name", BY_DNS)
@pytest.mark.parametrize("asked_for", ["example.org", "delegating.org"])
async def test_steps_3_3_to_6_the_dns_says_where(name: str, asked_for: str) -> None:
    world = World()
    world.resolver.srv, expected = BY_DNS[name]
    world.delegate("delegating.org", "example.org")

    found = await world.discovery().endpoints(ServerName(asked_for))

    assert list(found) == [expected]


async def test_a_delegate_is_not_asked_for_its_own_well_known() -> None:
    world = World()
    world.delegate("delegating.org", "example.org")
    world.delegate("example.org", "third.org:1")

    [found] = await world.discovery().endpoints(ServerName("delegating.org"))

    assert found.host == "example.org"


async def test_the_delegating_name_has_no_part_in_what_follows() -> None:
    world = World()
    world.delegate("delegating.org", "example.org")
    world.resolver.srv = {FED + "delegating.org": (srv("wrong.test", 1),)}

    [found] = await world.discovery().endpoints(ServerName("delegating.org"))

    assert found == at("example.org", 8448, "example.org", "example.org")


async def test_a_failing_name_server_is_as_if_it_had_no_service() -> None:
    world = World()
    world.resolver.broken = {FED + "example.org"}
    world.resolver.srv = {OLD + "example.org": (srv("old.test", 444),)}

    [found] = await world.discovery().endpoints(ServerName("example.org"))

    assert found.host == "old.test"


async def test_services_are_tried_in_order_of_priority() -> None:
    world = World()
    records = (srv("c", 3, 30), srv("a", 1, 10), srv("b", 2, 20))
    world.resolver.srv = {FED + "example.org": records}

    found = await world.discovery().endpoints(ServerName("example.org"))

    assert [each.host for each in found] == ["a", "b", "c"]


async def test_a_service_at_an_alias_is_skipped() -> None:
    """RFC 2782: "the name MUST NOT be an alias"."""
    world = World()
    world.resolver.srv = {FED + "example.org": (srv("alias", 1, 1), srv("real", 2, 2))}
    world.resolver.point("alias", "1.1.1.1", is_alias=True)
    world.resolver.point("real", "1.1.1.1")

    [found] = await world.discovery().endpoints(ServerName("example.org"))

    assert found.host == "real"


async def test_an_alias_is_followed_where_no_service_leads_to_it() -> None:
    world = World()
    world.resolver.point("example.org", "1.1.1.1", is_alias=True)

    [found] = await world.discovery().endpoints(ServerName("example.org"))

    assert found.host == "example.org"


@pytest.mark.parametrize("target", [".", "alias"])
async def test_a_service_that_is_said_not_to_be_there_is_unreachable(
    target: str,
) -> None:
    world = World()
    world.resolver.srv = {FED + "example.org": (srv(target, 1),)}
    world.resolver.point("alias", "1.1.1.1", is_alias=True)

    with pytest.raises(PeerUnreachable, match="name no usable server"):
        await world.discovery().endpoints(ServerName("example.org"))


async def test_at_most_8_services_are_tried() -> None:
    world = World()
    records = tuple(srv(f"t{number}", number) for number in range(16))
    world.resolver.srv = {FED + "example.org": records}

    assert len(await world.discovery().endpoints(ServerName("example.org"))) == 8


async def test_what_was_found_is_remembered_for_five_minutes() -> None:
    world = World()
    discovery = world.discovery()
    await discovery.endpoints(ServerName("example.org"))
    asked = len(world.resolver.asked)
    world.clock.advance_ms(299_999)
    await discovery.endpoints(ServerName("example.org"))
    assert len(world.resolver.asked) == asked

    world.clock.advance_ms(1)
    await discovery.endpoints(ServerName("example.org"))
    assert len(world.resolver.asked) == 2 * asked


def test_services_of_one_priority_are_chosen_by_weight() -> None:
    records = [srv("a", 1, weight=30), srv("b", 1, weight=10), srv("c", 1)]
    rng = random.Random(7)  # noqa: S311 - repeatable

    first = Counter(in_rfc2782_order(records, rng)[0].target for _ in range(4000))

    assert 2800 < first["a"] < 3200
    assert 800 < first["b"] < 1200
    assert first["c"] < 20
