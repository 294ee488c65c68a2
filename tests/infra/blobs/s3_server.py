"""An S3 server in this process, on a free port of loopback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

BUCKET = "media"
OPTIONS = {"access_key_id": "test", "secret_access_key": "test", "region": "us-east-1"}


@contextmanager
def running_s3() -> Iterator[str]:
    """The URL of a server with one bucket."""
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "67108864")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    try:
        with urlopen(Request(f"{url}/{BUCKET}", method="PUT"), timeout=10):
            yield url
    finally:
        server.stop()
