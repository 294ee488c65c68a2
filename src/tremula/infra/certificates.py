"""Certificates for trials and tests: of servers, and of an authority of one's own.

Loaded by the commands that need it only, since it needs the extra ``cert``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

# Clocks of other machines may be behind.
_ALREADY_VALID: Final = timedelta(hours=1)


class Validity(Struct, frozen=True, kw_only=True):
    """From an hour before *now* on, for *days*."""

    now: datetime
    days: int


class Certificate(Struct, frozen=True):
    """A certificate with its private key."""

    x509: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> "Certificate":
        """Read a certificate that `certificate_pem` and `key_pem` wrote.

        Raises:
            ValueError: it is none, or its key is not of this kind.
        """
        private = serialization.load_pem_private_key(key, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            # The file is wrong, not the program.
            raise ValueError("not an elliptic curve key")  # noqa: TRY004
        return cls(x509.load_pem_x509_certificate(certificate), private)

    def certificate_pem(self) -> bytes:
        """What everybody may have."""
        return self.x509.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """What nobody else may have."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make_authority(name: str, validity: Validity) -> Certificate:
    """An authority that can `issue` certificates; others have to trust it."""
    key = _new_key()
    subject = _named(name)
    builder = (
        _begun(subject, subject, key, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Certificate(builder.sign(key, hashes.SHA256()), key)


def issue(
    hosts: Sequence[str], validity: Validity, authority: Certificate | None = None
) -> Certificate:
    """A server's certificate for DNS names and IP addresses, signed by *authority*.

    Without one it signs itself.
    """
    key = _new_key()
    subject = _named(hosts[0])
    signing_key = authority.key if authority else key
    issuer = authority.x509.subject if authority else subject
    builder = (
        _begun(subject, issuer, key, signing_key.public_key(), validity)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(host) for host in hosts]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    )
    return Certificate(builder.sign(signing_key, hashes.SHA256()), key)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.now - _ALREADY_VALID)
        .not_valid_after(validity.now + timedelta(days=validity.days))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key),
            critical=False,
        )
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    # X.509 has at most 64 characters here; what counts are the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
