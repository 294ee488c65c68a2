"""Presence of our own users: in memory while they are there, little on disk.

Every process knows what clients have said to any of them. The one that they said it to
last tells what others are to be shown; the others do if it fails to.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from tremula.features.presence import storage
from tremula.features.presence.audience import Audience
from tremula.features.presence.news import Activities, Activity, OwnNews, RemoteNews
from tremula.features.presence.remote import RemotePresence
from tremula.features.profiles.service import TOPIC as PROFILE_TOPIC
from tremula.infra.clock import Clock
from tremula.infra.db import Database, Statements
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, InvalidParam
from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import LivePresence, PresenceState, Shown
from tremula.rooms.events import PersistedEvent
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.state import MEMBER

TOPIC: Final = "presence"
"""Announced with the user ID as key and `News` as payload."""
ACTIVITY_TOPIC: Final = "presence_activity"
"""Announced with `Activities` as payload, to other processes."""

STATUS_MSG_BYTES_MAX: Final = 1_024

# A client is gone when it has not come back for so long after its last request.
_GRACE_S: Final = 60.0
# Those who set their presence without syncing are believed for so long.
_SET_HOLD_S: Final = 300.0
# Changes that come together are announced together.
_GATHER_S: Final = 0.1
_SWEEP_S: Final = 10.0
# Other processes are told again that a client is still there; less than it is believed.
_TELL_EVERY_S: Final = 30.0
# So much later a process tells what another one should have told.
_OVERDUE_S: Final = 15.0
_ACTIVITIES_MAX: Final = 1_000

_OFFLINE: Final = Shown(PresenceState.OFFLINE)
_ROWS_MAX: Final = 500


class Presence:
    """Keeps who is online and tells those who share a room with them."""

    def __init__(
        self,
        *,
        db: Database,
        journal: Journal,
        audience: Audience,
        clock: Clock,
        enabled: bool,
    ) -> None:
        self._db = db
        self._journal = journal
        self._audience = audience
        self._clock = clock
        self.enabled = enabled
        self.remote = RemotePresence(clock)
        self._live: dict[UserId, LivePresence] = {}
        # What was last announced of those in `_live`; nothing announced is offline.
        self._shown: dict[UserId, Shown] = {}
        self._changed: set[UserId] = set()
        self._something_changed = asyncio.Event()
        self._name = secrets.token_hex(4)
        # Those of whose changes this process tells.
        self._ours: set[UserId] = set()
        # What other processes are still to be told, and when they were told last.
        self._untold: dict[UserId, Activity] = {}
        self._told_s: dict[UserId, float] = {}
        if enabled:
            journal.subscribe(TOPIC, self._take_news)
            journal.subscribe(ACTIVITY_TOPIC, self._take_activities)
            journal.subscribe(EVENT_TOPIC, self._event_sent)
            journal.subscribe(PROFILE_TOPIC, self._seen_anew)
            journal.subscribe(MEMBERSHIP_TOPIC, self._seen_anew)

    @property
    def live_users(self) -> AbstractSet[UserId]:
        """Those who are not offline, and a few who have just gone."""
        return self._live.keys()

    def touch(
        self, user_id: UserId, state: PresenceState, *, hold_s: float = 0.0
    ) -> None:
        """A client of *user_id* asks for news, and will wait for at most *hold_s*.

        Called by every `/sync`: two comparisons when nothing changes.
        """
        if not self.enabled or state is PresenceState.OFFLINE:
            return
        now_s = self._clock.monotonic_s()
        live = self._live.get(user_id)
        if live is None:
            live = self._live[user_id] = LivePresence()
        before = live.shown(now_s)
        hold_s += _GRACE_S
        live.connected(state, now_s=now_s, hold_s=hold_s)
        if self._journal.is_alone:
            self._ours.add(user_id)
        elif before != live.shown(now_s) or self._is_to_be_told(user_id, now_s):
            self._have_told(Activity(user_id, state, hold_s, is_set=False), now_s)
        self._notice(user_id, live, now_s)

    async def set(
        self, user_id: UserId, state: PresenceState, status_msg: str | None
    ) -> None:
        """*user_id* says what they are; without *status_msg* an old one is removed.

        Raises:
            InvalidParam: the status message is too long.
        """
        if status_msg and len(status_msg.encode()) > STATUS_MSG_BYTES_MAX:
            raise InvalidParam(f"status_msg has at most {STATUS_MSG_BYTES_MAX} bytes")
        if not self.enabled:
            return
        stored = (await storage.stored_presence(self._db, [user_id])).get(user_id)
        if (stored.status_msg if stored else None) != status_msg:
            unit = Statements()
            now_ms = self._clock.now_ms()
            storage.upsert_status(unit, user_id, status_msg, last_active_ts_ms=now_ms)
            await self._db.commit(unit)
        live = self._live.setdefault(user_id, LivePresence())
        now_s = self._clock.monotonic_s()
        live.set(state, now_s=now_s, hold_s=_SET_HOLD_S)
        self._have_told(Activity(user_id, state, _SET_HOLD_S, is_set=True), now_s)
        self._tell_activities()
        await self._journal.settled(await self._announce(user_id))

    async def erase(self, user_id: UserId) -> None:
        """Let nothing remain of a user who is gone."""
        await self.set(user_id, PresenceState.OFFLINE, None)
        self._let_go(user_id)
        unit = Statements()
        storage.delete_presence(unit, user_id)
        await self._db.commit(unit)

    async def get(self, viewer: UserId, user_id: UserId) -> dict[str, Any]:
        """The presence of *user_id* as CS ``getPresence`` answers it.

        Raises:
            Forbidden: the two share no room.
        """
        content = self.remote.content(user_id)
        if content is not None:
            rooms = self.remote.room_nids(user_id)
            if not await self._audience.is_in_any(viewer, rooms):
                raise Forbidden("you share no room with this user")
            return dict(content)
        if not await self._audience.may_see(viewer, user_id):
            raise Forbidden("you share no room with this user")
        return dict((await self.contents([user_id]))[user_id])

    async def contents(
        self, user_ids: Sequence[UserId]
    ) -> Mapping[UserId, Mapping[str, Any]]:
        """The presence of each of *user_ids*, as ``m.presence`` events have it."""
        if not self.enabled:
            return {user_id: {"presence": "offline"} for user_id in user_ids}
        stored: dict[UserId, storage.StoredPresence] = {}
        for start in range(0, len(user_ids), _ROWS_MAX):
            part = user_ids[start : start + _ROWS_MAX]
            stored |= await storage.stored_presence(self._db, part)
        return {
            user_id: self.remote.content(user_id) or self._content(user_id, stored)
            for user_id in user_ids
        }

    def _content(
        self, user_id: UserId, stored: Mapping[UserId, storage.StoredPresence]
    ) -> dict[str, Any]:
        live, row = self._live.get(user_id), stored.get(user_id)
        now_s = self._clock.monotonic_s()
        shown = live.shown(now_s) if live else _OFFLINE
        content: dict[str, Any] = {"presence": shown.state.value}
        if live is not None:
            content["last_active_ago"] = int((now_s - live.last_active_s) * 1000)
        elif row is not None:
            ago_ms = self._clock.now_ms() - row.last_active_ts_ms
            content["last_active_ago"] = max(0, ago_ms)
        if shown.state is PresenceState.ONLINE:
            content["currently_active"] = shown.currently_active
        if row is not None and row.status_msg is not None:
            content["status_msg"] = row.status_msg
        return content

    async def run(self) -> None:
        """Announce changes and time users out for ever; meant for the supervisor."""
        while True:
            try:
                async with asyncio.timeout(_SWEEP_S):
                    await self._something_changed.wait()
            except TimeoutError:
                await self.sweep()
            await asyncio.sleep(_GATHER_S)
            await self.announce_changes()

    async def announce_changes(self) -> None:
        """Tell of everyone whose presence has changed."""
        self._something_changed.clear()
        self._tell_activities()
        changed, self._changed = self._changed, set()
        for user_id in changed:
            await self._announce(user_id)

    async def sweep(self) -> None:
        """Notice who has become idle or offline, and let go of the latter."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        gone: list[UserId] = []
        for user_id, live in self._live.items():
            self._notice(user_id, live, now_s)
            is_told = self._shown.get(user_id, _OFFLINE) == _OFFLINE
            if is_told and live.shown(now_s) == _OFFLINE:
                gone.append(user_id)
        ts_ms = {
            user_id: now_ms - int((now_s - self._live[user_id].last_active_s) * 1000)
            for user_id in gone
            if user_id in self._ours
        }
        for user_id in gone:
            self._let_go(user_id)
        if ts_ms:
            unit = Statements()
            storage.upsert_last_active(unit, ts_ms)
            await self._db.commit(unit)

    def _let_go(self, user_id: UserId) -> None:
        self._live.pop(user_id, None)
        self._shown.pop(user_id, None)
        self._told_s.pop(user_id, None)
        self._ours.discard(user_id)

    async def _announce(self, user_id: UserId) -> int:
        """Tell what is shown of a user from now on; the position of that."""
        members = await self._audience.to_wake(user_id)
        live = self._live.get(user_id)
        shown = _OFFLINE
        if live is not None:
            shown = self._shown[user_id] = live.shown(self._clock.monotonic_s())
        return self._journal.ephemeral(
            TOPIC,
            user_id,
            OwnNews(self._name, shown),
            wake=members,
            room_nids=members.room_nids,
        )

    # With other processes

    def _is_to_be_told(self, user_id: UserId, now_s: float) -> bool:
        told_s = self._told_s.get(user_id)
        return told_s is None or now_s - told_s >= _TELL_EVERY_S

    def _have_told(self, activity: Activity, now_s: float) -> None:
        """Let other processes know of *activity*; this one tells what follows."""
        self._ours.add(activity.user_id)
        if not self._journal.is_alone:
            self._told_s[activity.user_id] = now_s
            self._untold[activity.user_id] = activity

    def _tell_activities(self) -> None:
        untold, self._untold = list(self._untold.values()), {}
        for start in range(0, len(untold), _ACTIVITIES_MAX):
            part = Activities(self._name, untold[start : start + _ACTIVITIES_MAX])
            self._journal.ephemeral(ACTIVITY_TOPIC, self._name, part)

    def _take_activities(self, _pos: int, _key: object, told: object) -> None:
        assert isinstance(told, Activities)
        if told.told_to == self._name:
            return
        now_s = self._clock.monotonic_s()
        for each in told.activities:
            live = self._live.setdefault(each.user_id, LivePresence())
            if each.is_set:
                live.set(each.state, now_s=now_s, hold_s=each.hold_s)
            else:
                live.connected(each.state, now_s=now_s, hold_s=each.hold_s)
            self._told_s[each.user_id] = now_s
            self._ours.discard(each.user_id)

    def _take_news(self, _pos: int, user_id: object, news: object) -> None:
        assert isinstance(user_id, str)
        user_id = UserId(user_id)
        if isinstance(news, RemoteNews):
            self.remote.put(user_id, news)
            return
        assert isinstance(news, OwnNews)
        if news.told_to == self._name:
            self._ours.add(user_id)
        elif user_id in self._live:
            self._shown[user_id] = news.shown
            self._ours.discard(user_id)

    # Noticing

    def _notice(self, user_id: UserId, live: LivePresence, now_s: float) -> None:
        if user_id not in self._ours:
            # What has become of time alone is told by another process, if it lives.
            now_s -= _OVERDUE_S
        if live.shown(now_s) != self._shown.get(user_id, _OFFLINE):
            self._changed.add(user_id)
            self._something_changed.set()

    def _event_sent(self, _pos: int, _key: object, event: object) -> None:
        assert isinstance(event, PersistedEvent)
        stored = event.stored
        sender = stored.sender
        live = self._live.get(sender)
        # Whoever takes another name has it in each of their rooms by the server, which
        # may take long, and whatever they have said they are.
        is_own = stored.type == MEMBER and stored.state_key == sender
        if live is not None and not is_own:
            now_s = self._clock.monotonic_s()
            live.active(now_s=now_s, hold_s=_GRACE_S)
            if sender in self._ours:
                self._notice(sender, live, now_s)

    def _seen_anew(self, _pos: int, user_id: object, _payload: object) -> None:
        # Whoever has come into a room is shown to those who are there. And CS "Events
        # on Change of Profile Information": presence tells of the new profile too.
        assert isinstance(user_id, str)
        if user_id in self._live and user_id in self._ours:
            self._changed.add(UserId(user_id))
            self._something_changed.set()
