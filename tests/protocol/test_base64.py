"""Unpadded Base64: the vectors of the Appendices, and tolerance when decoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.base64 import (
    decode_base64,
    encode_base64,
    encode_base64_urlsafe,
)

VECTORS = [
    (b"", ""),
    (b"f", "Zg"),
    (b"fo", "Zm8"),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg"),
    (b"fooba", "Zm9vYmE"),
    (b"foobar", "Zm9vYmFy"),
]


@pytest.mark.parametrize(("raw", "text"), VECTORS)
def test_the_vectors_of_the_appendices(raw: bytes, text: str) -> None:
    assert encode_base64(raw) == text
    assert decode_base64(text) == raw


def test_the_two_alphabets() -> None:
    assert encode_base64(b"\xfb\xff") == "+/8"
    assert encode_base64_urlsafe(b"\xfb\xff") == "-_8"


@pytest.mark.parametrize("text", ["+/8", "-_8", "+/8=", "-_8=", "+_8"])
def test_either_alphabet_is_decoded_with_or_without_padding(text: str) -> None:
    assert decode_base64(text) == b"\xfb\xff"


@pytest.mark.parametrize("text", ["a", "a b", "ab\n", "a*", "ä", "=a"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not Base64"):
        decode_base64(text)


@given(st.binary(max_size=80))
def test_what_was_encoded_is_decoded(raw: bytes) -> None:
    assert decode_base64(encode_base64(raw)) == raw
    assert decode_base64(encode_base64_urlsafe(raw)) == raw
