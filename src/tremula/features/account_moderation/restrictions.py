"""What locked and suspended users may still do, by operation (CS "Account moderation").

The suspended read what they like. Of the rest they may do what stands here, and nothing
that others see: whoever adds an operation adds it here, or it is refused to them.
"""

from typing import Final

from tremula.infra.http import Restrictions

# "on all but the following Client-Server APIs", and what needs no token.
_LOCKED_MAY: Final = frozenset({"get_versions", "logout", "logout_all"})

_ACCOUNT: Final = frozenset(
    {
        "add3_pid",
        "change_password",
        "deactivate_account",
        "delete_device",
        "delete_devices",
        "generate_login_token",
        "logout",
        "logout_all",
        "post3_pids",
        "post_rendezvous",
    }
)
_READING: Final = frozenset(
    {
        "define_filter",
        "delete_push_rule",
        "delete_room_tag",
        "delete_thread_subscription",
        "post_pusher",
        "post_receipt",
        "put_thread_subscription",
        "query_public_rooms",
        "report_event",
        "report_room",
        "report_user",
        "search",
        "search_user_directory",
        "set_account_data",
        "set_account_data_per_room",
        "set_push_rule",
        "set_push_rule_actions",
        "set_push_rule_enabled",
        "set_read_marker",
        "set_room_tag",
        "sliding_sync",
    }
)
# "Verify other devices and write associated cross-signing data", "Populate their key
# backup".
_ENCRYPTION: Final = frozenset(
    {
        "claim_keys",
        "delete_dehydrated_device",
        "delete_room_key_by_session_id",
        "delete_room_keys",
        "delete_room_keys_by_room_id",
        "delete_room_keys_version",
        "post_dehydrated_device_events",
        "post_room_keys_version",
        "put_dehydrated_device",
        "put_room_key_by_session_id",
        "put_room_keys",
        "put_room_keys_by_room_id",
        "put_room_keys_version",
        "query_keys",
        "send_to_device",
        "upload_cross_signing_keys",
        "upload_cross_signing_signatures",
        "upload_keys",
    }
)
# "Leave rooms and reject invites", "Redact their own events", also as events that are
# sent: `features/messages` refuses all others.
_ROOMS: Final = frozenset(
    {
        "forget_room",
        "leave_room",
        "redact_event",
        "send_message",
        "set_room_state_with_key",
    }
)

RESTRICTIONS: Final = Restrictions(
    locked_may=_LOCKED_MAY,
    suspended_may=_ACCOUNT | _READING | _ENCRYPTION | _ROOMS,
)
