"""What mails say, and what they can't be made to say."""

from html.parser import HTMLParser

import pytest

from tests.features.pushers.pushing import subject
from tremula.features.pushers.digest import Digest, RoomDigest
from tremula.features.pushers.notification import Subject

LINK = "https://example.org/_tremula/client/unsubscribe?token=a&b"
HOSTILE = '<script>alert(1)</script><a href="https://evil.example">\'"&'


class Tags(HTMLParser):
    """Collects the tags of a page and where its links go."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]


def digest(*rooms: RoomDigest) -> Digest:
    return Digest("@alice:test", "test", rooms, LINK)


def line(subject: Subject) -> str:
    text = digest(RoomDigest("Room", [subject])).text()
    [line] = [line for line in text.splitlines() if line.startswith("    ")]
    return line.strip()


def test_a_mail_lists_rooms_with_their_messages() -> None:
    bob = subject(sender_display_name="Bob")
    mail = digest(
        RoomDigest("Kitchen", [bob, subject(content={"body": "Hi\nthere"})]),
        RoomDigest("Garden", [subject(room_id="!garden:test")]),
    )

    assert mail.subject == "Unread messages in Kitchen and 1 more"
    assert mail.text() == (
        "You have unread messages on test.\n"
        "\n"
        "Kitchen:\n"
        "    Bob: Hello\n"
        "    @bob:test: Hi\n"
        "    there\n"
        "  https://matrix.to/#/%21room/%24event\n"
        "\n"
        "Garden:\n"
        "    @bob:test: Hello\n"
        "  https://matrix.to/#/%21garden%3Atest/%24event\n"
        "\n"
        "@alice:test wants to be notified at this address. Unsubscribe:\n"
        f"{LINK}"
    )


def test_what_strangers_wrote_is_text_in_html() -> None:
    mail = digest(
        RoomDigest(
            HOSTILE,
            [
                subject(
                    sender_display_name=HOSTILE,
                    content={"body": HOSTILE},
                    room_id=f"!{HOSTILE}",
                    event_id=f"${HOSTILE}",
                )
            ],
        )
    )

    page = Tags(mail.html())

    assert page.tags == {"html", "body", "p", "h3", "ul", "li", "small", "a"}
    assert [str(link).split("#")[0] for link in page.links] == [
        "https://matrix.to/",
        LINK,
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "m.room.encrypted", "content": {}}, "sent an encrypted message"),
        ({"content": {"msgtype": "m.image", "body": "x.png"}}, "sent an image"),
        ({"content": {"msgtype": "m.file", "body": "x"}}, "sent a file"),
        ({"content": {"body": 7}}, "sent something"),
        ({"content": {"msgtype": ["m.image"]}}, "sent something"),
        (
            {"content": {"membership": "invite"}, "user_is_target": True},
            "has invited you",
        ),
    ],
)
def test_what_is_no_text_is_described(
    changes: dict[str, object], expected: str
) -> None:
    assert line(subject(**changes)) == f"@bob:test {expected}"


def test_a_mail_has_its_bounds() -> None:
    long = subject(content={"body": "x" * 60_000}, sender_display_name="y" * 60_000)
    mail = digest(RoomDigest("z" * 60_000, [long] * 50))

    assert len(mail.text()) < 6_000
    assert len(mail.html()) < 7_000
    assert len(mail.subject) < 120
