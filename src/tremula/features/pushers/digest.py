"""What a mail says of unread messages, as text and as HTML.

Nearly all of it was written by strangers: in HTML every value goes through `_e`.
"""

from collections.abc import Iterator, Sequence
from html import escape as _e
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from tremula.features.pushers.notification import Subject

_MESSAGES_PER_ROOM_MAX: Final = 10
_BODY_CHARS_MAX: Final = 400
_NAME_CHARS_MAX: Final = 80

_KINDS: Final = {
    "m.image": "sent an image",
    "m.video": "sent a video",
    "m.audio": "sent an audio message",
    "m.file": "sent a file",
    "m.location": "sent a location",
}


class RoomDigest(Struct, frozen=True):
    """The unread messages of a room, oldest first."""

    title: str
    subjects: Sequence[Subject]


class Digest(Struct, frozen=True):
    """All that one mail is about, and the link that ends such mails."""

    user_id: str
    server_name: str
    rooms: Sequence[RoomDigest]
    unsubscribe_url: str

    @property
    def subject(self) -> str:
        """The mail's subject."""
        title = _cut(self.rooms[0].title, _NAME_CHARS_MAX)
        others = len(self.rooms) - 1
        if not others:
            return f"Unread messages in {title}"
        return f"Unread messages in {title} and {others} more"

    def text(self) -> str:
        """The mail for those who read text."""
        return "\n".join(self._lines())

    def html(self) -> str:
        """The mail for those who read HTML."""
        rooms = "".join(map(_room_html, self.rooms))
        return (
            "<!DOCTYPE html><html><body>"
            f"<p>{_e(self._greeting)}</p>{rooms}"
            f'<p><small>{_e(self._farewell)} <a href="{_e(self.unsubscribe_url)}">'
            "Unsubscribe</a></small></p></body></html>"
        )

    @property
    def _greeting(self) -> str:
        return f"You have unread messages on {self.server_name}."

    @property
    def _farewell(self) -> str:
        return f"{self.user_id} wants to be notified at this address."

    def _lines(self) -> Iterator[str]:
        yield self._greeting
        for room in self.rooms:
            yield ""
            yield f"{_cut(room.title, _NAME_CHARS_MAX)}:"
            for subject in _shown(room):
                # Indented, so that no message can look like what we say.
                for line in _line(subject).splitlines():
                    yield f"    {line}"
            yield f"  {_link(room)}"
        yield ""
        yield f"{self._farewell} Unsubscribe:"
        yield self.unsubscribe_url


def _room_html(room: RoomDigest) -> str:
    lines = "".join(
        f"<li>{_e(_line(subject)).replace(chr(10), '<br>')}</li>"
        for subject in _shown(room)
    )
    title = _e(_cut(room.title, _NAME_CHARS_MAX))
    return f'<h3><a href="{_e(_link(room))}">{title}</a></h3><ul>{lines}</ul>'


def _shown(room: RoomDigest) -> Sequence[Subject]:
    return room.subjects[-_MESSAGES_PER_ROOM_MAX:]


def _line(subject: Subject) -> str:
    sender = _cut(subject.sender_display_name or subject.sender, _NAME_CHARS_MAX)
    content = subject.content
    if subject.user_is_target and content.get("membership") == "invite":
        return f"{sender} has invited you"
    if subject.type == "m.room.encrypted":
        return f"{sender} sent an encrypted message"
    kind = _KINDS.get(str(content.get("msgtype")))
    if kind is not None:
        return f"{sender} {kind}"
    body = content.get("body")
    if not isinstance(body, str) or not body:
        return f"{sender} sent something"
    return f"{sender}: {_cut(body, _BODY_CHARS_MAX)}"


def _link(room: RoomDigest) -> str:
    first = room.subjects[0]
    return (
        f"https://matrix.to/#/{quote(first.room_id, safe='')}"
        f"/{quote(first.event_id, safe='')}"
    )


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
