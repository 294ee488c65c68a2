"""Synapse from PyPI, on SQLite, with a TLS listener for the other servers."""

import asyncio
import os
import secrets
import socket
from asyncio.subprocess import Process
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import orjson

from tests.interop.gate import Gate
from tests.interop.peer import PATIENCE_S, ServerProcess
from tests.interop.trust import Trust
from tests.postgres_server import free_port

_HOST: Final = "localhost"
_UNLIMITED: Final = {"per_second": 100_000, "burst_count": 100_000}
_READY: Final = b"READY=1"


class SynapsePeer:
    """Implements `Peer`. Its server name is a host name with a port."""

    def __init__(self, folder: Path, trust: Trust, gate: Gate, python: Path) -> None:
        folder.mkdir()
        self.gate = gate
        self._process = ServerProcess(folder)
        self._trust = trust
        self._python = python
        self._client_port = free_port()
        gate.target_port = free_port()
        self._config = folder / "homeserver.yaml"
        # JSON is YAML.
        self._config.write_bytes(orjson.dumps(self._settings()))
        self._write_signing_key()

    @property
    def server_name(self) -> str:
        """The part of its user IDs after the colon."""
        return f"{_HOST}:{self.gate.port}"

    @property
    def url(self) -> str:
        """Where its clients reach it."""
        return f"http://127.0.0.1:{self._client_port}"

    async def start(self) -> None:
        """Start it, and wait until it says that it listens, as it would to systemd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            # An abstract name: a path may be longer than the system permits.
            address = f"tremula-interop-{secrets.token_hex(8)}"
            notices.bind(f"\0{address}")
            notices.setblocking(False)
            process = await self._process.run(
                (
                    *(str(self._python), "-m", "synapse.app.homeserver"),
                    *("--config-path", str(self._config)),
                ),
                {**os.environ, "NOTIFY_SOCKET": f"@{address}"},
            )
            assert await _comes_up(notices, process), self._process.log.read_text()

    async def stop(self) -> None:
        """Stop it as an operator does."""
        await self._process.end()

    async def clean_up(self) -> None:
        """End the process, if any is left, whatever it did."""
        if self._process.is_running:
            await self._process.end()

    @property
    def _signing_key(self) -> Path:
        return self._process.folder / "signing.key"

    def _write_signing_key(self) -> None:
        seed = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self._signing_key.write_text(f"ed25519 a_interop {seed}\n")

    def _settings(self) -> dict[str, Any]:
        return {**self._setup(), **self._openness(), **_RATE_LIMITS}

    def _setup(self) -> dict[str, Any]:
        folder = self._process.folder
        files = self._trust.issue(folder.name, _HOST)
        return {
            "server_name": self.server_name,
            "report_stats": False,
            "database": {
                "name": "sqlite3",
                "args": {"database": str(folder / "synapse.db")},
            },
            "signing_key_path": str(self._signing_key),
            "macaroon_secret_key": secrets.token_hex(16),
            "form_secret": secrets.token_hex(16),
            "media_store_path": str(folder / "media"),
            "listeners": [
                _listener(self._client_port, "client", tls=False),
                _listener(self.gate.target_port, "federation", tls=True),
            ],
            "tls_certificate_path": str(files.certificate),
            "tls_private_key_path": str(files.key),
            "federation_custom_ca_list": [str(self._trust.authority_file)],
        }

    def _openness(self) -> dict[str, Any]:
        """Anyone may come, and it tries at once what failed before."""
        return {
            "ip_range_blacklist": [],
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "bcrypt_rounds": 4,
            "allow_public_rooms_over_federation": True,
            "room_list_publication_rules": [{"action": "allow"}],
            "federation": {
                "destination_min_retry_interval": 100,
                "destination_max_retry_interval": "1s",
                "max_short_retries": 1,
                "max_long_retries": 1,
                "max_short_retry_delay": 100,
                "max_long_retry_delay": "1s",
            },
            # An answer to a first sync is otherwise given again for two minutes.
            "caches": {"sync_response_cache_duration": "0s"},
        }


_RATE_LIMITS: Final[dict[str, Any]] = {
    "rc_message": _UNLIMITED,
    "rc_registration": _UNLIMITED,
    "rc_room_creation": _UNLIMITED,
    "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), _UNLIMITED),
    "rc_joins": dict.fromkeys(("local", "remote"), _UNLIMITED),
    "rc_joins_per_room": _UNLIMITED,
    "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), _UNLIMITED),
    "rc_presence": {"per_user": _UNLIMITED},
    "rc_federation": {"sleep_limit": 10_000, "reject_limit": 10_000},
    "federation_rr_transactions_per_room_per_second": 1000,
}


def _listener(port: int, api: str, *, tls: bool) -> dict[str, Any]:
    return {
        "type": "http",
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "tls": tls,
        "resources": [{"names": [api]}],
    }


async def _comes_up(notices: socket.socket, process: Process) -> bool:
    """Whether it says that it is ready before it ends."""
    ready = asyncio.ensure_future(_ready(notices))
    ended = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
        return not ended.done()
    finally:
        ready.cancel()
        ended.cancel()


async def _ready(notices: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while _READY not in await loop.sock_recv(notices, 4096):
        pass
