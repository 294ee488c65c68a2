"""Listeners and connections, over real sockets."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.infra.http.connections import (
    ANY_PORT,
    Connection,
    Listen,
    connected,
    event,
)
from tests.infra.http.routes import Notes
from tremula.infra.config import Api, Listener, Tls
from tremula.infra.http.application import Application
from tremula.infra.http.errors import ListenError
from tremula.infra.http.protocol import HEAD_BYTES_MAX

# Signed by itself, for "localhost", and good for a hundred years.
CERTIFICATE = Tls(
    certificate=Path(__file__).with_name("localhost.pem"),
    key=Path(__file__).with_name("localhost.key.pem"),
)


async def test_an_answer_to_head_comes_without_its_body(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send("HEAD /nowhere HTTP/1.1")
        head = await connection.head()
        connection.send("GET /nowhere HTTP/1.1")

        assert head.startswith("HTTP/1.1 404 ")
        assert await connection.status() == 404


async def test_requests_of_one_connection_are_answered_in_turn(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send("GET /bytes HTTP/1.1")
        assert await connection.status() == 200
        connection.send("GET /state/a%2Fb/c HTTP/1.1")
        connection.send("GET /nothing HTTP/1.1")
        assert await connection.status() == 200
        assert await connection.status() == 404


async def test_a_target_may_name_the_host(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send("GET http://test/bytes?x=/ HTTP/1.1")
        assert await connection.status() == 200
        connection.send("GET test:80 HTTP/1.1")
        assert await connection.status() == 400


@pytest.mark.parametrize(
    ("version", "header"), [("1.0", "X: -"), ("1.1", "Connection: close")]
)
async def test_a_connection_is_closed_if_it_is_not_wanted_longer(
    listen: Listen, version: str, header: str
) -> None:
    async with connected(await listen()) as connection:
        connection.send(f"GET /bytes HTTP/{version}", header)

        assert "connection: close\r\n" in await connection.head()
        assert await connection.body(14) == b'{"ready":true}'
        assert await connection.is_closed()


async def test_a_body_that_waits_to_be_asked_for_is(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send(
            "POST /object HTTP/1.1", "Content-Length: 2", "Expect: 100-continue"
        )
        assert await connection.status() == 100
        connection.writer.write(b"{}")

        assert await connection.status() == 200


@pytest.mark.parametrize(("path", "status"), [("/object", 413), ("/unknown", 404)])
async def test_a_body_that_is_not_wanted_is_not_asked_for(
    listen: Listen, path: str, status: int
) -> None:
    async with connected(await listen()) as connection:
        connection.send(
            f"POST {path} HTTP/1.1", "Content-Length: 9999", "Expect: 100-continue"
        )

        assert await connection.status() == status
        assert await connection.is_closed()


async def test_a_client_that_hangs_up_cancels_its_read(
    listen: Listen, notes: Notes
) -> None:
    async with connected(await listen()) as connection:
        connection.send("GET /wait HTTP/1.1")
        await event(notes.entered)
        connection.hang_up()

        await event(notes.cancelled)


async def test_a_client_that_hangs_up_cancels_its_long_poll(
    listen: Listen, notes: Notes
) -> None:
    async with connected(await listen()) as connection:
        connection.send("POST /poll HTTP/1.1", "Content-Length: 0")
        await event(notes.entered)
        connection.hang_up()

        await event(notes.cancelled)


async def test_a_client_that_hangs_up_does_not_stop_its_write(
    listen: Listen, notes: Notes
) -> None:
    async with connected(await listen()) as connection:
        connection.send("POST /wait HTTP/1.1", "Content-Length: 0")
        await event(notes.entered)
        connection.hang_up()
        notes.proceed.set()

        await event(notes.done)
        assert notes.written == ["waited"]


async def test_stopping_finishes_what_was_accepted(
    listen: Listen, application: Application, notes: Notes
) -> None:
    server = await listen()
    async with connected(server) as idle, connected(server) as busy:
        idle.send("GET /bytes HTTP/1.1")
        assert await idle.status() == 200
        busy.send("GET /bytes HTTP/1.1")
        assert await busy.status() == 200
        busy.send("POST /wait HTTP/1.1", "Content-Length: 0")
        await event(notes.entered)

        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(server.stop())
            await event(application.shutting_down)
            assert await idle.is_closed()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server_port(busy))
            assert not stopped.done()
            notes.proceed.set()

        assert await busy.status() == 200
        assert await busy.is_closed()


def server_port(connection: Connection) -> int:
    port: int = connection.writer.get_extra_info("peername")[1]
    return port


async def test_stopping_does_not_wait_for_ever(listen: Listen, notes: Notes) -> None:
    server = await listen()
    async with connected(server) as connection:
        connection.send("GET /wait HTTP/1.1")
        await event(notes.entered)
        await server.stop(grace_s=0)

        assert notes.cancelled.is_set()
        assert await connection.status() == 503


async def test_a_body_announced_too_large_is_refused(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send("POST /object HTTP/1.1", "Content-Length: 9999999999")

        connection.writer.write(b" " * 400_000)
        assert await connection.status() == 413
        assert await connection.is_closed()


async def test_a_body_a_little_too_large_keeps_the_connection(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send(
            "POST /object HTTP/1.1", "Content-Length: 1001", body=" " * 1001
        )
        assert await connection.status() == 413
        connection.send("GET /bytes HTTP/1.1")
        assert await connection.status() == 200


async def test_a_chunked_body_without_end_is_refused(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send("POST /object HTTP/1.1", "Transfer-Encoding: chunked")
        chunk = b"4000\r\n%s\r\n" % (b" " * 0x4000)
        for _ in range(40):
            connection.writer.write(chunk)

        assert await connection.status() == 413
        assert await connection.is_closed()


async def test_a_chunked_body_is_read(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.send(
            "POST /object HTTP/1.1",
            "Transfer-Encoding: chunked",
            body="1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        )
        assert await connection.status() == 200


async def test_a_body_that_does_not_come_is_given_up(listen: Listen) -> None:
    """Content-Length announces more than is ever sent."""
    async with connected(await listen(start_s=0.05)) as connection:
        connection.send("POST /object HTTP/1.1", "Content-Length: 100", body="{")

        assert await connection.status() == 408
        assert await connection.is_closed()


async def test_a_body_that_comes_in_drops_is_given_up(listen: Listen) -> None:
    """A hundred bytes a second keep nobody's connection for a day."""
    async with connected(await listen(start_s=0.05)) as connection:
        connection.send("POST /object HTTP/1.1", "Content-Length: 1000")
        async with asyncio.TaskGroup() as group:
            status = group.create_task(connection.status())
            while not status.done():
                connection.writer.write(b" ")
                await asyncio.wait([status], timeout=0.01)

        assert status.result() == 408


async def test_a_head_that_does_not_come_is_given_up(listen: Listen) -> None:
    async with connected(await listen(start_s=0.05)) as connection:
        connection.writer.write(b"GET / HTTP/1.1\r\nX: ")

        assert await connection.status() == 408
        assert await connection.is_closed()


async def test_a_second_head_that_does_not_come_is_given_up(listen: Listen) -> None:
    async with connected(await listen(start_s=0.05)) as connection:
        connection.send("GET /bytes HTTP/1.1")
        assert await connection.status() == 200
        connection.writer.write(b"GET / HT")

        assert await connection.status() == 408
        assert await connection.is_closed()


async def test_a_silent_connection_is_closed(listen: Listen) -> None:
    async with connected(await listen(start_s=0.05)) as connection:
        assert await connection.is_closed()


async def test_a_slow_answer_is_not_a_slow_request(
    listen: Listen, notes: Notes
) -> None:
    server = await listen(start_s=0.05)
    async with connected(server) as connection:
        connection.send("GET /wait HTTP/1.1")
        await event(notes.entered)
        # Another one, silent for as long, is given up.
        async with connected(server) as silent:
            assert await silent.is_closed()
        notes.proceed.set()

        assert await connection.status() == 200


async def test_a_head_without_end_is_refused(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.writer.write(b"GET / HTTP/1.1\r\n")
        connection.writer.write(b"X: %s\r\n" % (b"x" * HEAD_BYTES_MAX))

        assert await connection.status() == 431
        assert await connection.is_closed()


async def test_a_trailer_is_no_header(listen: Listen) -> None:
    """It would come after what a proxy writes, such as whom the request is from."""
    chunked = "Transfer-Encoding: chunked"
    async with connected(await listen()) as connection:
        connection.send(
            "GET /guests HTTP/1.1",
            chunked,
            body="0\r\nAuthorization: Bearer guest\r\n\r\n",
        )
        assert await connection.status() == 401

        token = "Authorization: Bearer guest"
        connection.send("GET /guests HTTP/1.1", chunked, token, body="0\r\n\r\n")
        assert await connection.status() == 200


@pytest.mark.parametrize("line", ["X: %s", "%s"], ids=["trailer", "chunk"])
async def test_what_surrounds_a_body_is_bounded(listen: Listen, line: str) -> None:
    async with connected(await listen()) as connection:
        connection.send("POST /object HTTP/1.1", "Transfer-Encoding: chunked")
        begin = b"1;x=" if line == "%s" else b"0\r\nX: "
        connection.writer.write(begin)
        for _ in range(8):
            connection.writer.write(b"x" * (HEAD_BYTES_MAX // 4))

        assert await connection.status() == 431
        assert await connection.is_closed()


async def test_what_is_not_http_is_refused(listen: Listen) -> None:
    async with connected(await listen()) as connection:
        connection.writer.write(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")

        assert await connection.status() == 400
        assert await connection.is_closed()


async def test_each_listener_serves_its_own_apis(listen: Listen) -> None:
    server = await listen(
        Listener(port=ANY_PORT), Listener(port=ANY_PORT, apis=(Api.ADMIN,))
    )
    answers = []
    for index in (0, 1):
        for path in ("/bytes", "/admin"):
            async with connected(server, index) as connection:
                connection.send(f"GET {path} HTTP/1.1")
                answers.append(await connection.status())

    assert answers == [200, 404, 404, 200]


async def test_a_listener_speaks_tls(listen: Listen) -> None:
    server = await listen(Listener(port=ANY_PORT, tls=CERTIFICATE))
    trust = ssl.create_default_context(cafile=CERTIFICATE.certificate)

    async with connected(server, tls=trust) as connection:
        connection.send("GET /bytes HTTP/1.1")
        assert await connection.status() == 200


async def test_a_certificate_that_cannot_be_read_is_named(
    listen: Listen, tmp_path: Path
) -> None:
    missing = Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")

    with pytest.raises(ListenError, match=r"none\.pem.*No such file"):
        await listen(Listener(port=ANY_PORT, tls=missing))


async def test_a_port_in_use_is_named(listen: Listen) -> None:
    with socket.create_server(("127.0.0.1", ANY_PORT)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ListenError, match=f"localhost:{port}: another program"):
            await listen(Listener(port=ANY_PORT), Listener(port=port))


async def test_a_listener_may_be_a_unix_socket(listen: Listen, tmp_path: Path) -> None:
    """The socket file of a server that died is no obstacle."""
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    await listen(Listener(unix_socket=path))

    reader, writer = await asyncio.open_unix_connection(path)
    connection = Connection(reader, writer)
    connection.send("GET /whence HTTP/1.1")

    assert await connection.status() == 200
    connection.hang_up()


async def test_a_unix_socket_in_use_is_named(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    await listen(Listener(unix_socket=path))

    with pytest.raises(ListenError, match=r"http\.sock: another program"):
        await listen(Listener(unix_socket=path))
