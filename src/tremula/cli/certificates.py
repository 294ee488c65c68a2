"""``tremula cert``: certificates for trials, tests and networks of one's own."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.protocol.identifiers import is_valid_server_name

if TYPE_CHECKING:
    from tremula.infra.certificates import Certificate, Validity

app = App("cert")

_Days = Annotated[int, Parameter(validator=Number(gte=1, lte=3650))]
_DEFAULT_CERTIFICATE = Path("tremula-cert.pem")
_DEFAULT_KEY = Path("tremula-key.pem")


@app.command
def self_signed(
    *hosts: str,
    certificate: Path = _DEFAULT_CERTIFICATE,
    key: Path = _DEFAULT_KEY,
    days: _Days = 365,
) -> None:
    """Make a certificate that nobody vouches for.

    Another Tremula believes it if its outbound.trusted_ca_file holds it. For the
    Internet, get one from a public authority, such as Let's Encrypt.

    Args:
        hosts: The names and IP addresses of the server.
        certificate: Where to write the certificate.
        key: Where to write its private key.
        days: For how long it is valid.
    """
    _check_library()
    from tremula.infra.certificates import issue

    _write(issue(_hosts(hosts), _validity(days)), certificate, key)


@app.command
def authority(
    *,
    certificate: Path = Path("tremula-ca.pem"),
    key: Path = Path("tremula-ca-key.pem"),
    days: _Days = 3650,
) -> None:
    """Make an authority, for servers that trust only each other.

    Args:
        certificate: Where to write what goes into outbound.trusted_ca_file.
        key: Where to write its private key, for `tremula cert issue`.
        days: For how long it is valid.
    """
    _check_library()
    from tremula.infra.certificates import make_authority

    _write(make_authority("Tremula authority", _validity(days)), certificate, key)


@app.command
def issue(
    *hosts: str,
    authority_certificate: Path = Path("tremula-ca.pem"),
    authority_key: Path = Path("tremula-ca-key.pem"),
    certificate: Path = _DEFAULT_CERTIFICATE,
    key: Path = _DEFAULT_KEY,
    days: _Days = 365,
) -> None:
    """Make a certificate signed by an authority of `tremula cert authority`.

    Args:
        hosts: The names and IP addresses of the server.
        authority_certificate: The certificate of the authority.
        authority_key: The private key of the authority.
        certificate: Where to write the certificate.
        key: Where to write its private key.
        days: For how long it is valid.
    """
    _check_library()
    from tremula.infra.certificates import Certificate
    from tremula.infra.certificates import issue as issue_certificate

    try:
        issuer = Certificate.from_pem(
            authority_certificate.read_bytes(), authority_key.read_bytes()
        )
    except OSError as error:
        raise CommandFailed(
            f"{error.filename} can't be read: {error.strerror}", ExitCode.REFUSED
        ) from error
    except ValueError as error:
        raise CommandFailed(
            f"{authority_certificate} and {authority_key} are no authority: {error}",
            ExitCode.REFUSED,
        ) from error
    _write(issue_certificate(_hosts(hosts), _validity(days), issuer), certificate, key)


def _check_library() -> None:
    try:
        import cryptography as _  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise CommandFailed(
            "this needs a library that is not installed: pip install 'tremula[cert]'",
            ExitCode.REFUSED,
        ) from error


def _hosts(hosts: Sequence[str]) -> Sequence[str]:
    if not hosts:
        raise CommandFailed("name at least one host", ExitCode.REFUSED)
    for host in hosts:
        # An IPv6 address has no brackets in a certificate, and no name has a port.
        if (
            not is_valid_server_name(f"[{host}]" if ":" in host else host)
            or "[" in host
        ):
            raise CommandFailed(
                f"{host!r} is neither a host name nor an IP address", ExitCode.REFUSED
            )
    return hosts


def _validity(days: int) -> "Validity":
    from tremula.infra.certificates import Validity

    return Validity(now=datetime.now(UTC), days=days)


def _write(made: "Certificate", certificate: Path, key: Path) -> None:
    """Write both files, neither over one that exists."""
    for path, pem, mode in (
        (key, made.key_pem(), 0o600),
        (certificate, made.certificate_pem(), 0o644),
    ):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise CommandFailed(
                f"{path} can't be written: {error.strerror}", ExitCode.REFUSED
            ) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    sys.stdout.write(f"certificate  {certificate}\nprivate key  {key}\n")
