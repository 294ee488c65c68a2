"""Finds people: those whom somebody may know of, by their IDs and names.

Terms name candidates only. Whether the user may find them, and by which name, is
decided by what the user can see of them: the profile of our own users, which anybody
may read, of others a member event in a room that both share or that is open to all. So
no name shows that somebody has in another room. Where all of our own users are shown to
each other, those who were in no room yet are found by the beginning of their IDs.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.features.profiles.service import Profiles
from tremula.features.user_directory import storage
from tremula.features.user_directory.indexing import searched_text
from tremula.features.user_directory.storage import TermOfUser
from tremula.features.users.service import Users
from tremula.infra.db import Reader
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import UserId, parse_user_id, server_of
from tremula.protocol.profiles import AVATAR_URL, DISPLAYNAME
from tremula.protocol.search_query import TERM_CHARS_MAX, matches_beginnings
from tremula.protocol.search_text import (
    WORD_CHARS_MAX,
    FoldedText,
    fold,
    take_apart,
)
from tremula.rooms.acquaintances import Acquaintances
from tremula.rooms.events import StoredEvent
from tremula.rooms.following import Follower

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 50
_CANDIDATES_AT_ONCE: Final = 200
_BATCHES_MAX: Final = 20
# So many are put in order, of whom the first ones are shown.
_RANKED_MAX: Final = 200


class Person(Struct, frozen=True):
    """Somebody who was found, as the user who searches sees them."""

    user_id: UserId
    displayname: str | None
    avatar_url: str | None
    is_acquainted: bool

    def rank(self, wanted: str) -> tuple[bool, bool, bool, str]:
        """Who is meant by name comes first, then whom one shares a room with, then who
        has a profile.
        """
        names = {fold(self.user_id), fold(self.user_id[1:].partition(":")[0])}
        if self.displayname is not None:
            names.add(fold(self.displayname))
        return (
            wanted not in names,
            not self.is_acquainted,
            self.displayname is None,
            self.user_id,
        )


class People(Struct, frozen=True):
    """Who was found; if ``is_limited``, there may be others."""

    found: Sequence[Person]
    is_limited: bool


class UserDirectory(Struct, frozen=True):
    """Finds users of this server, with *shows_all_ours* all of them, and of others."""

    db: Reader
    terms: Follower
    acquaintances: Acquaintances
    users: Users
    profiles: Profiles
    account_data: AccountData
    shows_all_ours: bool

    async def search(self, user_id: UserId, search_term: str, limit: int) -> People:
        """Whom *user_id* may know of that *search_term* fits, each word of it being the
        beginning of one of theirs.

        Looks at 4,000 candidates at most.

        Raises:
            InvalidParam: the search term is too long.
        """
        if len(search_term) > TERM_CHARS_MAX:
            raise InvalidParam(f"a search term has at most {TERM_CHARS_MAX} characters")
        wanted = take_apart(search_term)
        prefix = _longest(wanted)
        if prefix is None:
            return People((), is_limited=False)
        await self.terms.catch_up()
        left_out = {user_id, *await self.account_data.ignored_users(user_id)}
        called = await self._called(search_term.strip())
        found = await self._new_among(user_id, called, wanted, left_out)
        after: TermOfUser | None = None
        for _ in range(_BATCHES_MAX):
            terms = await storage.terms_beginning(
                self.db, prefix, after=after, limit=_CANDIDATES_AT_ONCE
            )
            candidates = (UserId(each.user_id) for each in terms)
            found += await self._new_among(user_id, candidates, wanted, left_out)
            is_last = len(terms) < _CANDIDATES_AT_ONCE
            if is_last or len(found) >= _RANKED_MAX:
                break
            after = terms[-1]
        else:
            is_last = False
        found.sort(key=lambda person: person.rank(wanted.text.strip()))
        return People(found[:limit], len(found) > limit or not is_last)

    async def _called(self, name: str) -> Sequence[UserId]:
        """Whose ID *name* is, and where all of ours are shown, those whose IDs begin
        like that.
        """
        called: list[UserId] = []
        with suppress(InvalidParam):
            # Its longest word may be the server's, which fits all users of that.
            called.append(parse_user_id(name.lower()))
        localpart = name.removeprefix("@").partition(":")[0].lower()
        if self.shows_all_ours and localpart:
            called += await self.users.beginning(localpart, limit=_CANDIDATES_AT_ONCE)
        return called

    async def _new_among(
        self,
        user_id: UserId,
        candidates: Iterable[UserId],
        wanted: FoldedText,
        left_out: set[UserId],
    ) -> list[Person]:
        """Those whom *user_id* may find but for *left_out*, to whom they are added."""
        new = [each for each in dict.fromkeys(candidates) if each not in left_out]
        left_out.update(new)
        return await self._among(user_id, new, wanted)

    async def _among(
        self, user_id: UserId, candidates: Sequence[UserId], wanted: FoldedText
    ) -> list[Person]:
        acquainted = await self.acquaintances.sharing_with(user_id, candidates)
        others = [each for each in candidates if each not in acquainted]
        in_open_rooms = await self.acquaintances.in_open_rooms(others)
        people = await self._people(acquainted, is_acquainted=True)
        people += await self._people(in_open_rooms, is_acquainted=False)
        if self.shows_all_ours:
            strangers = [each for each in others if each not in in_open_rooms]
            people += await self._ours(strangers, is_acquainted=False)
        return [
            person
            for person in people
            if matches_beginnings(
                wanted, searched_text(person.user_id, person.displayname)
            )
        ]

    async def _people(
        self, member_events: Mapping[UserId, StoredEvent], *, is_acquainted: bool
    ) -> list[Person]:
        return await self._ours(member_events, is_acquainted=is_acquainted) + [
            _person(user_id, event.content, is_acquainted=is_acquainted)
            for user_id, event in member_events.items()
            if not self._is_ours(user_id)
        ]

    async def _ours(
        self, user_ids: Iterable[UserId], *, is_acquainted: bool
    ) -> list[Person]:
        """Those of *user_ids* who are our users, as their profiles are."""
        ours = [each for each in user_ids if self._is_ours(each)]
        listed = await self.users.listed_among(ours)
        return [
            _person(
                user_id,
                await self.profiles.member_fields(user_id),
                is_acquainted=is_acquainted,
            )
            for user_id in ours
            if user_id in listed
        ]

    def _is_ours(self, user_id: UserId) -> bool:
        return server_of(user_id) == self.users.server_name


def _person(
    user_id: UserId, fields: Mapping[str, object], *, is_acquainted: bool
) -> Person:
    displayname, avatar_url = fields.get(DISPLAYNAME), fields.get(AVATAR_URL)
    return Person(
        user_id,
        displayname if isinstance(displayname, str) else None,
        avatar_url if isinstance(avatar_url, str) else None,
        is_acquainted,
    )


def _longest(wanted: FoldedText) -> str | None:
    """What of the search term fits the fewest terms, as far as one can tell."""
    words = (word[:WORD_CHARS_MAX] for word in wanted.words)
    beginnings = [*words, *(run[:2] for run in wanted.runs)]
    return max(beginnings, key=len, default=None)
