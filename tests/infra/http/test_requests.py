"""Bodies, queries, tokens and addresses of requests."""

import gzip
from ipaddress import ip_network
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.http_client import Client
from tests.infra.http.routes import Notes
from tremula.infra.http.application import Application
from tremula.infra.http.client_address import TrustedProxies, rate_limit_key


async def test_a_put_reaches_its_handler(alice: Client, notes: Notes) -> None:
    response = await alice.put("/notes/!r:test/$a%2Fb", {"text": "hello"})

    assert response.json == {
        "path": {"room_id": "!r:test", "note_id": "$a/b"},
        "user_id": "@alice:test",
        "text": "hello",
    }
    assert response.headers["content-type"] == "application/json"
    assert notes.written == ["hello"]


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (b"{", 400, "M_NOT_JSON"),
        (b"\xff", 400, "M_NOT_JSON"),
        (b'{"text":"a","text":"b"}', 400, "M_NOT_JSON"),
        (b'{"text":"\\ud800"}', 400, "M_NOT_JSON"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "M_NOT_JSON"),
        (b'{"text":1}', 400, "M_BAD_JSON"),
        (b'{"text":"a","count":1.5}', 400, "M_BAD_JSON"),
        (b'{"text":"a","count":1e400}', 400, "M_NOT_JSON"),
        (b'{"text":"a","count":true}', 400, "M_BAD_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b'{"text":"a\\u0000b"}', 400, "M_BAD_JSON"),
        (b'{"text":"a","more":[{"\\u0000":1}]}', 400, "M_BAD_JSON"),
        (b"{}", 400, "M_MISSING_PARAM"),
        (b"", 400, "M_MISSING_PARAM"),
        (b'{"text":"' + b"a" * 65_536 + b'"}', 413, "M_TOO_LARGE"),
    ],
)
async def test_a_bad_body_is_refused(
    alice: Client, notes: Notes, body: bytes, status: int, errcode: str
) -> None:
    response = await alice.put("/notes/r/n", body=body)

    assert (response.status, response.json["errcode"]) == (status, errcode)
    assert notes.written == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"", {}), (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}), (b" {} ", {})],
)
async def test_a_free_object_is_read(
    client: Client, body: bytes, expected: dict[str, Any]
) -> None:
    assert (await client.post("/object", body=body)).json == expected


@pytest.mark.parametrize("body", [b"1", b"[]", b"null", b'"x"'])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    assert (await client.post("/object", body=body)).json["errcode"] == "M_BAD_JSON"


@pytest.mark.parametrize(("length", "status"), [(1000, 200), (1001, 413)])
async def test_the_bound_of_a_body_is_exact(
    client: Client, length: int, status: int
) -> None:
    body = b'{"a":"%s"}' % (b"x" * (length - 8))

    assert (await client.post("/object", body=body)).status == status


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "text/plain",
        "nonsense",
        "",
        "a" * 10_000,
    ],
)
async def test_cve_2024_52805_the_content_type_does_not_matter(
    client: Client, content_type: str
) -> None:
    headers = {"Content-Type": content_type}

    assert (await client.post("/object", {"a": 1}, headers=headers)).json == {"a": 1}


async def test_cve_2024_52805_a_form_is_no_json(client: Client) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    response = await client.post("/object", body=body, headers=headers)

    assert (response.status, response.json["errcode"]) == (400, "M_NOT_JSON")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "gzip, identity"])
async def test_a_compressed_body_is_refused(client: Client, coding: str) -> None:
    """A small one might be gigabytes of JSON."""
    bomb = gzip.compress(b" " * 10_000_000)
    response = await client.post(
        "/object", body=bomb[:1000], headers={"Content-Encoding": coding}
    )

    assert (response.status, response.json["errcode"]) == (415, "M_NOT_JSON")


async def test_query_parameters_are_read(client: Client) -> None:
    response = await client.get("/query?x=a%20b+c&x=%E2%98%83&limit=7&flag=true&y&&")

    assert response.json == {
        "x": "a b c",
        "all": ["a b c", "☃"],
        "limit": 7,
        "flag": True,
    }


async def test_query_parameters_have_defaults(client: Client) -> None:
    expected: dict[str, Any] = {"x": None, "all": [], "limit": 10, "flag": False}

    assert (await client.get("/query")).json == expected


async def test_too_great_a_number_is_cut(client: Client) -> None:
    assert (await client.get("/query?limit=5000")).json["limit"] == 100


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=", "limit=1.5", "limit=1_0", "limit=%D9%A1",
        "limit= 1", "limit=99999999999999999999", "flag=True", "flag=1", "flag=",
        "x=%FF", "x=%00", "%00=x",
    ],
)  # fmt: skip
async def test_a_bad_query_parameter_is_refused(client: Client, query: str) -> None:
    response = await client.get(f"/query?{query}")

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer alice"},
        {"Authorization": "bearer alice"},
        {"Authorization": "BEARER  alice "},
    ],
)
async def test_the_header_names_the_user(
    client: Client, headers: dict[str, str]
) -> None:
    response = await client.get("/maybe", headers=headers)

    assert response.json == {"user_id": "@alice:test"}


async def test_the_query_names_the_user(client: Client) -> None:
    response = await client.get("/maybe?access_token=alice")

    assert response.json == {"user_id": "@alice:test"}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic alice"}, {"Authorization": "Bearer "}]
)
async def test_without_a_token_nobody_is_named(
    client: Client, headers: dict[str, str]
) -> None:
    assert (await client.get("/maybe", headers=headers)).json == {"user_id": None}

    response = await client.put("/notes/r/n", {"text": "x"}, headers=headers)
    assert (response.status, response.json["errcode"]) == (401, "M_MISSING_TOKEN")


@pytest.mark.parametrize("path", ["/maybe", "/guests"])
async def test_an_unknown_token_is_refused(client: Client, path: str) -> None:
    response = await Client(client.app, "mallory").get(path)

    assert (response.status, response.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert "soft_logout" not in response.json


async def test_an_expired_token_is_a_soft_logout(client: Client) -> None:
    response = await Client(client.app, "stale").get("/guests")

    assert response.json["errcode"] == "M_UNKNOWN_TOKEN"
    assert response.json["soft_logout"] is True


async def test_guests_may_only_do_what_is_theirs(client: Client, notes: Notes) -> None:
    guest = Client(client.app, "guest")

    assert (await guest.get("/guests")).json == {"is_guest": True}
    response = await guest.put("/notes/r/n", {"text": "x"})
    assert response.status == 403
    assert response.json["errcode"] == "M_GUEST_ACCESS_FORBIDDEN"
    assert notes.written == []


async def test_too_many_requests_are_refused(alice: Client, clock: FakeClock) -> None:
    """Three at once, then one a second; the answer says how long to wait."""
    for _ in range(3):
        assert (await alice.put("/notes/r/n", {"text": "x"})).status == 200
    response = await alice.put("/notes/r/n", {"text": "x"})

    assert (response.status, response.json["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    assert response.json["retry_after_ms"] == 1000
    assert response.headers["retry-after"] == "1"
    clock.advance_ms(1000)
    assert (await alice.put("/notes/r/n", {"text": "x"})).status == 200


PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
    ],
)
async def test_only_trusted_proxies_name_the_client(
    application: Application, peer: str, forwarded: str, expected: str
) -> None:
    client = Client(application.for_listener(proxies=PROXIES), client_ip=peer)

    response = await client.get("/whence", headers={"X-Forwarded-For": forwarded})

    assert response.json["ip"] == expected


async def test_nobody_is_a_trusted_proxy_unless_named(client: Client) -> None:
    headers = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"}

    response = await client.get("/whence", headers=headers)

    assert response.json["ip"] == "127.0.0.1"


async def test_only_trusted_proxies_name_the_request(application: Application) -> None:
    app = application.for_listener(proxies=PROXIES)
    headers = {"X-Request-Id": "abc-1"}

    proxied = await Client(app, client_ip="10.0.0.1").get("/whence", headers=headers)
    direct = await Client(app, client_ip="192.0.2.1").get("/whence", headers=headers)
    odd = await Client(app, client_ip="10.0.0.1").get(
        "/whence", headers={"X-Request-Id": "a\x1b[31m"}
    )

    assert proxied.json["id"] == "abc-1"
    assert direct.json["id"] != "abc-1"
    assert odd.json["id"] not in {"a\x1b[31m", direct.json["id"]}


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_a_network_of_one_user_counts_as_one_client(address: str, key: str) -> None:
    assert rate_limit_key(address) == key
