"""Unpadded Base64 (Appendices "Unpadded Base64")."""

from binascii import a2b_base64, b2a_base64
from typing import Final

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")


def encode_base64(raw: bytes) -> str:
    """Standard alphabet, without padding."""
    return b2a_base64(raw, newline=False).rstrip(b"=").decode()


def encode_base64_urlsafe(raw: bytes) -> str:
    """URL-safe alphabet (``-`` and ``_``), without padding."""
    encoded = b2a_base64(raw, newline=False)
    return encoded.translate(_URLSAFE).rstrip(b"=").decode()


def decode_base64(text: str) -> bytes:
    """Decode either alphabet, with or without padding.

    Raises:
        ValueError: *text* is not Base64.
    """
    stripped = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        padded = stripped + "=" * (-len(stripped) % 4)
        return a2b_base64(padded, strict_mode=True)
    except ValueError as error:
        raise ValueError("not Base64") from error
