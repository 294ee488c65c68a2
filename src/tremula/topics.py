"""What the processes of a server tell each other: the payload of each topic.

None where the news is that something has changed: whoever needs it reads it.
"""

from operator import attrgetter
from typing import Any, Final

from tremula.features.account_data import service as account_data
from tremula.features.account_data.storage import AccountDatum
from tremula.features.appservice_transactions import service as transactions
from tremula.features.appservice_websockets import service as appservice_websockets
from tremula.features.appservices import service as appservices
from tremula.features.blocked_rooms import service as blocked_rooms
from tremula.features.device_keys import signatures
from tremula.features.device_lists import service as device_lists
from tremula.features.devices import service as devices
from tremula.features.directory import published
from tremula.features.directory import service as directory
from tremula.features.ephemeral_events import service as ephemeral_events
from tremula.features.media import service as media
from tremula.features.one_time_keys import service as one_time_keys
from tremula.features.presence import news as presence_news
from tremula.features.presence import service as presence
from tremula.features.profiles import service as profiles
from tremula.features.push import marks as push_marks
from tremula.features.push import service as push
from tremula.features.pushers import service as pushers
from tremula.features.receipts import service as receipts
from tremula.features.receipts.storage import StoredReceipt
from tremula.features.remote_devices import fetching
from tremula.features.room_deletions import service as room_deletions
from tremula.features.sessions import service as sessions
from tremula.features.sync import lazy_members
from tremula.features.thread_subscriptions import service as thread_subscriptions
from tremula.features.to_device import service as to_device
from tremula.features.typing import service as typing
from tremula.infra.federation import durable_edus, heard
from tremula.infra.replication.messages import Topics
from tremula.protocol.identifiers import DeviceId, EventId, UserId
from tremula.rooms import contents, erasures, memberships, partial, relations, staging
from tremula.rooms.events import PersistedEvent
from tremula.rooms.storage import UserRoom

_PAYLOADS: Final[dict[str, Any]] = {
    staging.MEMBERS_TOPIC: None,
    staging.SKIPPED_TOPIC: None,
    partial.COMPLETED_TOPIC: PersistedEvent,
    memberships.TOPIC: UserRoom,
    lazy_members.TOPIC: DeviceId | None,
    contents.TOPIC: contents.NewContent,
    erasures.TOPIC: None,
    relations.TOPIC: EventId,
    account_data.TOPIC: AccountDatum,
    appservices.TOPIC: appservices.StoredRegistration | None,
    blocked_rooms.TOPIC: None,
    appservice_websockets.TOPIC: appservice_websockets.Message,
    transactions.TOPIC: None,
    transactions.HEARD_TOPIC: bool,
    device_lists.TOPIC: device_lists.DeviceListChange,
    devices.TOPIC: devices.DeviceChange,
    durable_edus.TOPIC: None,
    ephemeral_events.TOPIC: ephemeral_events.EphemeralEvent,
    heard.TOPIC: None,
    directory.ALIASES_TOPIC: None,
    media.TOPIC: None,
    one_time_keys.TOPIC: None,
    presence.ACTIVITY_TOPIC: presence_news.Activities,
    presence.TOPIC: presence_news.News,
    profiles.TOPIC: None,
    published.TOPIC: published.VisibilityChange,
    push.TOPIC: bytes,
    push_marks.TOPIC: push_marks.EventMarks | push_marks.MarksGone,
    pushers.TOPIC: None,
    receipts.PRIVATE_TOPIC: StoredReceipt,
    receipts.PUBLIC_TOPIC: StoredReceipt,
    room_deletions.TOPIC: None,
    sessions.TOPIC: None,
    signatures.TOPIC: frozenset[UserId],
    to_device.TOPIC: None,
    thread_subscriptions.TOPIC: None,
    fetching.WANTED_TOPIC: None,
    typing.STILL_TOPIC: typing.TypingChange,
    typing.TOPIC: typing.TypingChange,
}


def all_topics() -> Topics:
    """Every topic of this server."""
    topics = Topics()
    topics.register(
        staging.EVENT_TOPIC, staging.RoomChange, shared=attrgetter("change")
    )
    topics.register(staging.REREAD_TOPIC, staging.Reread, shared=attrgetter("told"))
    for topic, payload_type in _PAYLOADS.items():
        topics.register(topic, payload_type)
    return topics
