"""Files of one server, downloaded at the other."""

import secrets
from http import HTTPStatus

import pytest

from tests.features.media.files import picture
from tests.interop.synapse_peer import SynapsePeer
from tests.interop.user import User

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def upload(user: User, body: bytes, content_type: str, filename: str) -> str:
    """Upload *body*; what comes behind ``mxc://``."""
    async with user.session.post(
        f"{user.peer.url}/_matrix/media/v3/upload",
        params={"filename": filename},
        data=body,
        headers={
            "Authorization": f"Bearer {user.token}",
            "Content-Type": content_type,
        },
    ) as response:
        assert response.status == HTTPStatus.OK, await response.text()
        uri: str = (await response.json())["content_uri"]
    return uri.removeprefix("mxc://")


async def fetch(user: User, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of something below ``…/v1/media``."""
    async with user.session.get(
        f"{user.peer.url}/_matrix/client/v1/media/{path}",
        headers={"Authorization": f"Bearer {user.token}"},
    ) as response:
        headers = {name.lower(): text for name, text in response.headers.items()}
        return response.status, headers, await response.read()


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
async def test_a_file_comes_as_it_is(alice: User, bob: User, size: int) -> None:
    if size == 0 and isinstance(alice.peer, SynapsePeer):
        pytest.skip("of an empty file Synapse sends the beginning, and no end")
    body = secrets.token_bytes(size)
    path = await upload(alice, body, "text/plain", "räksmörgås.txt")

    status, headers, got = await fetch(bob, f"download/{path}")

    assert (status, got) == (HTTPStatus.OK, body)
    assert headers["content-type"].startswith("text/plain")
    assert "r%C3%A4ksm%C3%B6rg%C3%A5s.txt" in headers["content-disposition"]


async def test_an_image_has_a_thumbnail(alice: User, bob: User) -> None:
    path = await upload(alice, picture(), "image/png", "picture.png")

    status, headers, got = await fetch(
        bob, f"thumbnail/{path}?width=96&height=96&method=crop"
    )

    assert status == HTTPStatus.OK, got
    assert headers["content-type"] in {"image/png", "image/jpeg", "image/webp"}
    assert headers["content-disposition"].startswith("inline")


async def test_what_is_not_there_is_not_found(alice: User, bob: User) -> None:
    status, _, body = await fetch(bob, f"download/{alice.peer.server_name}/nothing")

    assert status == HTTPStatus.NOT_FOUND
    assert b"M_NOT_FOUND" in body
