"""An authority that all servers of the tests trust, and nobody else."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tremula.infra.certificates import Certificate, Validity, issue, make_authority


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its private key, as PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Trust:
    """Issues certificates into *folder*."""

    folder: Path
    authority: Certificate

    @property
    def authority_file(self) -> Path:
        """What the servers trust."""
        return self.folder / "authority.pem"

    def issue(self, name: str, host: str) -> CertificateFiles:
        """A certificate for *host*, in files that begin with *name*."""
        issued = issue([host], _validity(), self.authority)
        files = CertificateFiles(
            self.folder / f"{name}-cert.pem", self.folder / f"{name}-key.pem"
        )
        files.certificate.write_bytes(issued.certificate_pem())
        files.key.write_bytes(issued.key_pem())
        return files


def new_trust(folder: Path) -> Trust:
    """Make an authority."""
    trust = Trust(folder, make_authority("Interop", _validity()))
    trust.authority_file.write_bytes(trust.authority.certificate_pem())
    return trust


def _validity() -> Validity:
    return Validity(now=datetime.now(UTC), days=2)
