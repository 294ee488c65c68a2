"""Messages as bytes: whatever stands in them ends no header."""

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.infra.mail.message import Mail, one_line, render
from tremula.protocol.email_addresses import Mailbox, parse_email_address

TO = parse_email_address("alice@example.org")
SENDER = Mailbox(parse_email_address("noreply@example.org"), "The server")


def rendered(mail: Mail, sender: Mailbox = SENDER) -> bytes:
    """The bytes, at a fixed time."""
    return render(mail, sender, message_id="abc", ts_ms=1_782_000_000_000)


def test_a_message_has_what_mail_servers_want() -> None:
    raw = rendered(Mail(to=TO, subject="Grüße", text="Hallo ü\n", html="<p>ü</p>"))
    message = message_from_bytes(raw, policy=policy.default)

    assert message["From"] == "The server <noreply@example.org>"
    assert message["To"] == "alice@example.org"
    assert message["Subject"] == "Grüße"
    assert message["Date"] == "Sun, 21 Jun 2026 00:00:00 -0000"
    assert message["Message-ID"] == "<abc@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@given(
    subject=st.text(max_size=400),
    text=st.text(max_size=400),
    name=st.text(max_size=300),
)
def test_no_text_adds_a_header(subject: str, text: str, name: str) -> None:
    sender = Mailbox(SENDER.address, name)
    mail = Mail(to=TO, subject=subject, text=text)
    message = message_from_bytes(rendered(mail, sender), policy=policy.default)

    assert sorted(message.keys()) == sorted(
        [
            *("Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date"),
            *("From", "MIME-Version", "Message-ID", "Subject", "To"),
        ]
    )
    assert message["To"] == TO


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nBcc: b@c", "a Bcc: b@c"),
        ("  a \t b\u2028c  ", "a b c"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\ud800x", "x"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_a_line_is_one_line(text: str, expected: str) -> None:
    assert one_line(text) == expected
