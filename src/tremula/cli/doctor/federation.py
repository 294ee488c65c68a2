"""Whether other servers find this one, believe its certificate, and get its keys."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from tremula.cli.doctor.clock import examine_clock
from tremula.cli.doctor.finding import Finding, Verdict, note, ok, wrong
from tremula.cli.doctor.world import LIMITS, World
from tremula.infra.config import Federation
from tremula.infra.federation.discovery import Discovery
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.endpoint import (
    Endpoint,
    OutboundRequest,
    OutboundResponse,
    is_ip_literal,
    split_host,
)
from tremula.infra.outbound.errors import ConnectFailed, OutboundError
from tremula.infra.outbound.presented_certificate import (
    CertificateRefused,
    NoRoute,
    PresentedCertificate,
    presented_certificate,
)
from tremula.protocol.errors import BadJson, NotJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.json import parse_json_exact
from tremula.protocol.server_keys import ServerKeys, parse_server_keys
from tremula.protocol.signing import BadSignature

_KEYS_PATH: Final = "/_matrix/key/v2/server"
_VERSION_PATH: Final = "/_matrix/federation/v1/version"
_ROUTE: Final = "have /_matrix passed on to a listener with the federation API"
_DAY_S: Final = 86_400
# Whoever renews certificates does so when a third of their time is left.
_LEFT_MIN: Final = 1 / 6


class _Server(msgspec.Struct):
    name: str = ""
    version: str = ""


class _Version(msgspec.Struct):
    """The answer of SS ``getVersion``."""

    server: _Server


@dataclass(frozen=True, slots=True)
class FederationExamination:
    """Does what another server would do to reach *server_name*."""

    server_name: ServerName
    config: Federation
    world: World

    async def findings(self) -> AsyncIterator[Finding]:
        """Line by line, each as soon as it is known."""
        world = self.world
        well_known = WellKnown(world.web, world.clock)
        if not _says_where(self.server_name):
            yield await self._examine_delegation(well_known)
        discovery = Discovery(well_known, world.resolver, world.clock)
        try:
            endpoints = await discovery.endpoints(self.server_name)
        except PeerUnreachable as error:
            yield wrong("address", str(error), "correct the SRV records")
            return
        for endpoint in endpoints:
            async for finding in self._examine_endpoint(endpoint):
                yield finding
        # Whose clock is trusted most; else a proxy on another machine may tell.
        [who, *_] = [*self.config.notaries, self.server_name]
        yield await examine_clock(who, discovery, world)

    async def _examine_delegation(self, well_known: WellKnown) -> Finding:
        subject, wanted = "delegation", self.config.delegate
        url = f"https://{self.server_name}/.well-known/matrix/server"
        found = await well_known.find_delegate(ServerName(self.server_name.lower()))
        if found is None and wanted is None:
            return note(
                subject,
                f"there is no {url}: servers look for SRV records, then for port 8448",
            )
        if found is None:
            return wrong(
                subject,
                f"{url} gives no valid answer",
                "pass it on to Tremula, which answers as federation.delegate says",
            )
        if wanted is not None and found.lower() != wanted.lower():
            return wrong(
                subject,
                f"{url} leads to {found}, but federation.delegate is {wanted}",
                "correct the one that is out of date",
            )
        return ok(subject, f"{url} leads to {found}")

    async def _examine_endpoint(self, endpoint: Endpoint) -> AsyncIterator[Finding]:
        try:
            ips = await self._addresses(endpoint.host)
        except ConnectFailed as error:
            yield wrong("address", str(error), "give that name an A or AAAA record")
            return
        is_reached = is_wrong = False
        for ip in ips:
            shown = await self._certificate(ip, endpoint)
            if isinstance(shown, Finding):
                is_wrong |= shown.verdict is Verdict.WRONG
                yield shown
            else:
                is_reached = True
                yield self._examine_certificate(ip, endpoint, shown)
        if is_reached:
            yield await self._examine_keys(endpoint)
            yield await self._examine_version(endpoint)
        elif not is_wrong:
            yield wrong(
                "address",
                f"nothing of {endpoint.host} can be tried from here",
                "run this where there is a network of that kind",
            )

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if is_ip_literal(host):
            return (host,)
        return (await self.world.resolver.addresses(host)).ips

    async def _certificate(
        self, ip: str, endpoint: Endpoint
    ) -> PresentedCertificate | Finding:
        """What is shown at one address, or why others get nothing there."""
        if not self.world.policy.permits(ip):
            return wrong(
                "address",
                f"{endpoint.host} is {ip} here, a private address",
                "name a public one in the DNS (and none in /etc/hosts), or the network"
                " in outbound.allowed_private_ranges if servers of your own share it",
            )
        place = _place(ip, endpoint.port)
        try:
            return await presented_certificate(ip, endpoint, self.world.tls)
        except CertificateRefused as error:
            return wrong(
                "certificate",
                f"{place} shows one that is not good for {endpoint.tls_name} ({error})",
                "get one for that name, and give the whole chain",
            )
        except NoRoute as error:
            return note("address", f"{place} can't be tried from here ({error})")
        except ConnectFailed as error:
            return wrong(
                "address",
                f"{place} can't be connected to ({error})",
                "start what listens there, open the firewall, forward the port",
            )

    def _examine_certificate(
        self, ip: str, endpoint: Endpoint, shown: PresentedCertificate
    ) -> Finding:
        left_s = shown.valid_until_s - self.world.now_s
        text = (
            f"{_place(ip, endpoint.port)} shows one for {endpoint.tls_name}, valid"
            f" until {datetime.fromtimestamp(shown.valid_until_s, UTC):%Y-%m-%d},"
            f" {max(left_s, 0) / _DAY_S:.0f} days"
        )
        if left_s < _LEFT_MIN * (shown.valid_until_s - shown.valid_from_s):
            return wrong("certificate", text, "renew it, and see why that did not run")
        return ok("certificate", text)

    async def _examine_keys(self, endpoint: Endpoint) -> Finding:
        subject, now_ms = "signing key", self.world.clock.now_ms()
        answer = await self._answer(subject, endpoint, _KEYS_PATH)
        if isinstance(answer, Finding):
            return answer
        try:
            keys = _parse_keys(answer.body, self.server_name, now_ms=now_ms)
        except (BadJson, NotJson, BadSignature) as error:
            return wrong(
                subject,
                f"{_KEYS_PATH} is no list of keys of {self.server_name} ({error})",
                "find out which server answers, and with which server_name",
            )
        if keys.valid_until_ts <= now_ms:
            return wrong(
                subject,
                f"{_KEYS_PATH} has expired",
                "let no proxy keep answers; see that the clock is right",
            )
        return ok(subject, f"{', '.join(keys.verify_keys)}, signed as it has to be")

    async def _examine_version(self, endpoint: Endpoint) -> Finding:
        subject = "federation API"
        answer = await self._answer(subject, endpoint, _VERSION_PATH)
        if isinstance(answer, Finding):
            return answer
        try:
            server = msgspec.json.decode(answer.body, type=_Version).server
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return wrong(subject, f"{_VERSION_PATH} answers something else", _ROUTE)
        return ok(subject, f"{server.name} {server.version} answers")

    async def _answer(
        self, subject: str, endpoint: Endpoint, path: str
    ) -> OutboundResponse | Finding:
        try:
            answer = await self.world.requests.request(
                endpoint, OutboundRequest("GET", path), LIMITS
            )
        except OutboundError as error:
            return wrong(subject, f"{path} does not answer ({error})", _ROUTE)
        if answer.status != 200:
            return wrong(subject, f"{path} answers with status {answer.status}", _ROUTE)
        return answer


def _parse_keys(body: bytes, server_name: ServerName, *, now_ms: int) -> ServerKeys:
    raw = parse_json_exact(body)
    if not isinstance(raw, dict):
        raise BadJson("not an object")
    return parse_server_keys(raw, server_name, now_ms=now_ms)


def _says_where(server_name: ServerName) -> bool:
    """Whether the name has a port or is an IP address, so that no well-known counts."""
    hostname, port = split_host(server_name)
    return port is not None or is_ip_literal(hostname)


def _place(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
