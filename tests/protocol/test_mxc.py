"""URIs of media: nothing gets by that could be a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.mxc import Mxc


@pytest.mark.parametrize(
    "uri", ["mxc://a.test/b", "mxc://a.test:80/B-_9", "mxc://[::1]:80/b"]
)
def test_a_uri_comes_back_as_it_was(uri: str) -> None:
    assert str(Mxc.parse(uri)) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mxc://",
        "mxc://a",
        "mxc://a/",
        "mxc:///b",
        "http://a/b",
        "a/b",
        "mxc://a/b/c",
        "mxc://a/../b",
        "mxc://127.0.0.1/../../../some_service/etc/passwd",
        "mxc://a\\b/c",
        "mxc://a/b\n",
        "mxc://a/%2e%2e",
        "mxc://a/" + "b" * 256,
    ],
)
def test_what_is_none_is_refused(uri: str) -> None:
    with pytest.raises(InvalidParam):
        Mxc.parse(uri)


@given(st.text(), st.text())
def test_parts_are_safe_or_not_found(server_name: str, media_id: str) -> None:
    try:
        mxc = Mxc.of(server_name, media_id)
    except NotFound:
        return
    assert not set("/\\\0%") & set(mxc.server_name + mxc.media_id)
    assert "." not in mxc.media_id
