"""Synapse, from a virtual environment that has it, set up to be compared with."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.servers import (
    HOST,
    LONELY,
    FederationAddress,
    NotStarted,
    Program,
)
from tests.postgres_server import PostgresServer, free_port

_MODULE: Final = "synapse.app.homeserver"
_WORKER_MODULE: Final = "synapse.app.generic_worker"
_UNLIMITED: Final = {"per_second": 1_000_000, "burst_count": 1_000_000}
_RATE_LIMITS: Final = {
    "rc_message": _UNLIMITED,
    "rc_registration": _UNLIMITED,
    "rc_login": {
        "address": _UNLIMITED,
        "account": _UNLIMITED,
        "failed_attempts": _UNLIMITED,
    },
    "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
    "rc_joins_per_room": _UNLIMITED,
    "rc_room_creation": _UNLIMITED,
    "rc_profile": _UNLIMITED,
    "rc_presence": {"per_user": _UNLIMITED},
    "rc_federation": {"sleep_limit": 1_000_000, "reject_limit": 1_000_000},
    "federation_rr_transactions_per_room_per_second": 1_000_000,
}
_LOGGING: Final = {
    "version": 1,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "disable_existing_loggers": False,
}


def synapse(
    name: str,
    venv: Path,
    folder: Path,
    postgres: PostgresServer | None,
    federation: FederationAddress | None = None,
    persisters: "EventPersisters | None" = None,
) -> Program:
    """Synapse, called *name*, as it comes but for limits, passwords' cost, and its log.

    Raises:
        NotStarted: *venv* can't run it.
    """
    port = free_port()
    config = folder / "homeserver.yaml"
    # YAML reads JSON.
    (folder / "log.yaml").write_text(json.dumps(_LOGGING))
    settings: dict[str, Any] = {
        **_config(folder),
        **_reach(port, federation),
        "database": _database(folder, postgres),
    }
    if persisters:
        settings["listeners"].append(persisters.listener)
        settings |= persisters.settings
    config.write_text(json.dumps(settings, indent=1))
    command = (str(venv / "bin/python"), "-m", _MODULE, "-c", str(config))
    keys = subprocess.run(
        (*command, "--generate-keys"), cwd=folder, capture_output=True, check=False
    )
    if keys.returncode != 0:
        raise NotStarted(f"{venv} can't run Synapse:\n{keys.stderr.decode()[-3000:]}")
    return Program(
        name=name,
        server_name=federation.server_name if federation else LONELY,
        command=command,
        folder=folder,
        port=port,
        environment={},
    )


class EventPersisters:
    """Workers that store events and are sent messages; all talk over a Redis."""

    def __init__(self, redis_port: int, count: int) -> None:
        self._redis_port = redis_port
        self._main_port = free_port()
        self._ports = {f"persister{number}": free_port() for number in range(count)}

    @property
    def listener(self) -> dict[str, Any]:
        """Where the main process listens to them."""
        return _listener(self._main_port, "replication", tls=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What all processes have to know."""
        ports = {"main": self._main_port, **self._ports}
        return {
            "redis": {"enabled": True, "host": HOST, "port": self._redis_port},
            "worker_replication_secret": "bench",
            "instance_map": {
                name: {"host": HOST, "port": port} for name, port in ports.items()
            },
            "stream_writers": {"events": list(self._ports)},
        }

    def programs(self, main: Program) -> list[Program]:
        """How they are started, beside *main*."""
        return [self._program(main, name) for name in self._ports]

    def _program(self, main: Program, name: str) -> Program:
        port, config = free_port(), main.folder / f"{name}.yaml"
        settings = {
            "worker_app": _WORKER_MODULE,
            "worker_name": name,
            "worker_log_config": str(main.folder / "log.yaml"),
            "worker_listeners": [
                _listener(self._ports[name], "replication", tls=False),
                _listener(port, "client", tls=False),
            ],
        }
        config.write_text(json.dumps(settings, indent=1))
        command = [_WORKER_MODULE if part == _MODULE else part for part in main.command]
        return replace(main, command=(*command, "-c", str(config)), port=port)


def _config(folder: Path) -> dict[str, Any]:
    return {
        "pid_file": str(folder / "synapse.pid"),
        "signing_key_path": str(folder / "signing.key"),
        "media_store_path": str(folder / "media"),
        "log_config": str(folder / "log.yaml"),
        "macaroon_secret_key": "bench",
        "form_secret": "bench",
        "report_stats": False,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "url_preview_enabled": False,
        "trusted_key_servers": [],
        **_RATE_LIMITS,
    }


def _reach(port: int, federation: FederationAddress | None) -> dict[str, Any]:
    """Who reaches it where, and whom it reaches."""
    clients = _listener(port, "client", tls=False)
    if federation is None:
        return {
            "server_name": LONELY,
            "listeners": [clients],
            "federation_domain_whitelist": [],
        }
    others = _listener(federation.port, "federation", tls=True)
    return {
        "server_name": federation.server_name,
        "listeners": [clients, others],
        "tls_certificate_path": str(federation.files.certificate),
        "tls_private_key_path": str(federation.files.key),
        "federation_custom_ca_list": [str(federation.authority)],
        "ip_range_blacklist": [],
    }


def _listener(port: int, api: str, *, tls: bool) -> dict[str, Any]:
    return {
        "port": port,
        "bind_addresses": [HOST],
        "type": "http",
        "tls": tls,
        "resources": [{"names": [api], "compress": False}],
    }


def _database(folder: Path, postgres: PostgresServer | None) -> dict[str, Any]:
    if postgres is None:
        return {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}}
    url = urlsplit(postgres.url("postgres"))
    return {
        "name": "psycopg2",
        "args": {
            "user": url.username,
            "dbname": url.path.removeprefix("/"),
            "host": url.hostname,
            "port": url.port,
            "cp_min": 5,
            "cp_max": 10,
        },
    }
