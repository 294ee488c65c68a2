"""What reaches the socket, and in how many pieces."""

import asyncio

from tremula.infra.http.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Written(asyncio.Transport):
    """What was written."""

    def __init__(self) -> None:
        super().__init__({"peername": "someone"})
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True


def test_a_head_goes_with_its_body() -> None:
    written = Written()
    writes = JoinedWrites(written)

    writes.write(HEAD)
    assert written.pieces == []
    writes.write(b"{}")
    writes.write(b"more")

    assert written.pieces == [HEAD + b"{}", b"more"]


def test_a_head_without_body_goes_when_the_answer_is_complete() -> None:
    written = Written()
    writes = JoinedWrites(written)

    writes.write(HEAD)
    writes.flush()
    writes.flush()
    writes.write(HEAD)
    writes.close()

    assert written.pieces == [HEAD, HEAD]
    assert written.is_closed


def test_a_client_that_waits_to_go_on_does_not_wait_for_an_answer() -> None:
    written = Written()

    JoinedWrites(written).write(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert written.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_all_else_is_the_transports() -> None:
    assert JoinedWrites(Written()).get_extra_info("peername") == "someone"
