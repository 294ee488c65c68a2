"""E-mail addresses: one form each, and nothing in them that a header could end with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.email_addresses import (
    Mailbox,
    parse_email_address,
    parse_mailbox,
)
from tremula.protocol.errors import InvalidParam


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Strauß@Example.com", "strauss@example.com"),
        ("A.B+tag@sub.example.org", "a.b+tag@sub.example.org"),
        ("root@localhost", "root@localhost"),
        ("o'neil%x@xn--bcher-kva.example", "o'neil%x@xn--bcher-kva.example"),
        ("\N{KELVIN SIGN}arl@example.org", "karl@example.org"),
    ],
)
def test_an_address_has_one_form(raw: str, expected: str) -> None:
    assert parse_email_address(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        "",
        "alice",
        "@example.org",
        "alice@",
        "a@b@example.org",
        "alice@example.org\r\nBcc: all@example.org",
        "alice@example.org\n",
        "a lice@example.org",
        "alice@example..org",
        "alice@-example.org",
        "alice@[127.0.0.1]",
        '"a b"@example.org',
        ".alice@example.org",
        "alice.@example.org",
        "Alice <alice@example.org>",
        "alice@example.org,bob@example.org",
        "m\N{LATIN SMALL LETTER DOTLESS I}ke@example.org",
        "alice@\N{CYRILLIC SMALL LETTER IE}xample.org",
        "\x00@example.org",
        "a" * 65 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b." * 126 + "org",
        "ß" * 40 + "@example.org",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_address_is_refused(raw: object) -> None:
    with pytest.raises(InvalidParam):
        parse_email_address(raw)


@given(st.text(max_size=300))
def test_what_comes_out_goes_in_again_unchanged(raw: str) -> None:
    try:
        address = parse_email_address(raw + "@example.org")
    except InvalidParam:
        return
    assert parse_email_address(address) == address
    assert address.isascii()
    assert address.isprintable()


@pytest.mark.parametrize(
    ("raw", "name", "address"),
    [
        ("noreply@example.org", "", "noreply@example.org"),
        ("Example <noreply@example.org>", "Example", "noreply@example.org"),
        ("<noreply@example.org>", "", "noreply@example.org"),
    ],
)
def test_a_mailbox_may_have_a_name(raw: str, name: str, address: str) -> None:
    mailbox = parse_mailbox(raw)

    assert (mailbox.display_name, mailbox.address) == (name, address)
    assert mailbox.domain == "example.org"


@pytest.mark.parametrize(
    "raw", ["", "x", "a\nb <c@d>", "a <b>", "<a@b> c", 'x"y <a@b>', "a@b <c@d> <e@f>"]
)
def test_what_is_no_mailbox_is_refused(raw: str) -> None:
    with pytest.raises(InvalidParam):
        parse_mailbox(raw)


def test_mailboxes_are_values() -> None:
    assert parse_mailbox("<A@b>") == Mailbox(parse_email_address("a@B"))
