"""The command: all findings, each printed as soon as it is there."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tremula.cli.doctor.finding import Finding, Verdict, note, ok
from tremula.cli.failures import CommandFailed, ExitCode
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.infra.config import Config, LogLevel, SqliteFile

if TYPE_CHECKING:
    from tremula.cli.doctor.world import World


def doctor(*, source: Source = DEFAULT_SOURCE) -> None:
    """Check the configuration and the machine, and whether others reach the server.

    It asks for this server as another one would, by its name; so the server should be
    running. Nothing is changed, but that a file is put into the store, and deleted.
    The exit code is 10 if something is to be mended.
    """
    from tremula.infra.logging import configure_logging

    config = source.load()
    # What is logged on the way stands in the findings.
    configure_logging(LogLevel.ERROR, config.logging.format)
    where = source.file or "no file: defaults, environment and options"
    _print(ok("configuration", f"that of {config.server_name} is fine ({where})"))
    if count := asyncio.run(_print_all(findings_of(config))):
        things = "1 thing" if count == 1 else f"{count} things"
        raise CommandFailed(
            f"the doctor has found {things} to mend", ExitCode.UNHEALTHY
        )


async def findings_of(config: Config) -> AsyncIterator[Finding]:
    """What there is to say of the machine, then of the way to it."""
    from tremula.cli.doctor.machine import examine_data_dir, examine_database
    from tremula.cli.doctor.mail import examine_mail
    from tremula.cli.doctor.media import examine_media

    yield examine_data_dir(config.data_dir)
    source = config.database
    if isinstance(source, SqliteFile):
        source = replace(source, path=config.data_dir / source.path)
    yield await examine_database(source, config.server_name)
    yield await examine_media(config)
    yield await examine_mail(config.mail)
    if not config.is_exposed:
        yield note("network", "only programs of this machine can reach the server")
        return
    if config.outbound.trusted_ca_file is not None:
        yield note(
            "authorities",
            "those of outbound.trusted_ca_file count here; others may not trust them",
        )
    from tremula.cli.doctor.world import open_world

    async with open_world(config.outbound) as world:
        async for finding in reachability(config, world):
            yield finding


async def reachability(config: Config, world: "World") -> AsyncIterator[Finding]:
    """Whether servers and clients elsewhere find this server in *world*."""
    from tremula.cli.doctor.clients import examine_clients_way
    from tremula.cli.doctor.federation import FederationExamination

    if config.federation.enabled:
        examination = FederationExamination(
            config.server_name, config.federation, world
        )
        async for finding in examination.findings():
            yield finding
    else:
        yield note("federation", "federation.enabled is false: other servers get a no")
    async for finding in examine_clients_way(
        config.server_name, config.public_base_url, world.web
    ):
        yield finding


async def _print_all(findings: AsyncIterator[Finding]) -> int:
    """Print them; returns how many are wrong."""
    count = 0
    async for finding in findings:
        _print(finding)
        count += finding.verdict is Verdict.WRONG
    return count


def _print(finding: Finding) -> None:
    sys.stdout.write(f"{finding}\n")
    sys.stdout.flush()
