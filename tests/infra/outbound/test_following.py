"""Following redirects piece by piece: each is a request with all its rules."""

from pathlib import Path

import pytest

from tests.fakes.remote import always, by_uri, http_answer, running_remote
from tests.fakes.resolver import FakeResolver
from tests.infra.outbound.conftest import LOOPBACK
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.endpoint import Limits
from tremula.infra.outbound.errors import AddressRefused, BadRedirect
from tremula.infra.outbound.http import OutboundHttp

LIMITS = Limits(bytes_max=1000, timeout_s=10)


async def followed(
    http: OutboundHttp, url: str, **options: object
) -> tuple[str, bytes]:
    async with http.follow(url, LIMITS, redirects_max=3, **options) as found:  # type: ignore[arg-type]
        return found.url, b"".join([chunk async for chunk in found.response.chunks])


async def test_the_url_that_answered_is_told(
    http: OutboundHttp, tmp_path: Path
) -> None:
    answers = by_uri(
        a=http_answer(302, b"", "Location: /b"), b=http_answer(200, b"there")
    )
    async with running_remote(["remote.test"], answers, tmp_path) as remote:
        url = f"https://remote.test:{remote.port}"
        assert await followed(http, f"{url}/a") == (f"{url}/b", b"there")


@pytest.mark.parametrize(
    "target",
    [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://private.test/",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(
    http: OutboundHttp, resolver: FakeResolver, tmp_path: Path, target: str
) -> None:
    resolver.point("private.test", "192.168.0.1", "fd00::1")
    answer = always(http_answer(302, b"", f"Location: {target}"))
    async with running_remote(["remote.test"], answer, tmp_path) as remote:
        with pytest.raises(AddressRefused):
            await followed(http, f"https://remote.test:{remote.port}/")


async def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(
    tmp_path: Path,
) -> None:
    """DNS rebinding: what was checked is what is connected to."""
    resolver = FakeResolver()
    resolver.point("rebinding.test", "93.184.216.34")
    resolver.point("rebinding.test", "127.0.0.1")
    public_only = OutboundHttp(resolver, AddressPolicy())
    try:
        async with running_remote(["rebinding.test"], always(b""), tmp_path) as remote:
            resolver.names["rebinding.test"].pop(0)
            with pytest.raises(AddressRefused):
                await followed(public_only, f"https://rebinding.test:{remote.port}/")
            assert not remote.requests
    finally:
        await public_only.close()
    assert LOOPBACK.permits("127.0.0.1")


async def test_what_is_not_permitted_is_not_asked(
    http: OutboundHttp, tmp_path: Path
) -> None:
    answers = by_uri(a=http_answer(302, b"", "Location: /secret"))
    async with running_remote(["remote.test"], answers, tmp_path) as remote:
        with pytest.raises(BadRedirect):
            await followed(
                http,
                f"https://remote.test:{remote.port}/a",
                permits=lambda url: "secret" not in url,
            )
        assert [each.uri for each in remote.requests] == ["/a"]
