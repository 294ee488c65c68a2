"""Unpadded Base64 (Appendices "Unpadded Base64")."""

from base64 import b64decode, b64encode


def encode_base64(raw: bytes) -> str:
    """Standard alphabet, without padding."""
    return b64encode(raw).rstrip(b"=").decode()


def encode_base64_urlsafe(raw: bytes) -> str:
    """URL-safe alphabet (``-`` and ``_``), without padding."""
    return b64encode(raw, b"-_").rstrip(b"=").decode()


def decode_base64(text: str) -> bytes:
    """Decode either alphabet, with or without padding.

    Raises:
        ValueError: *text* is not Base64.
    """
    stripped = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
    except ValueError as error:
        raise ValueError("not Base64") from error
