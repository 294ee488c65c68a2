"""Presence over time (CS "Presence")."""

import pytest

from tremula.protocol.errors import InvalidParam
from tremula.protocol.presence import (
    ACTIVE_FOR_S,
    IDLE_AFTER_S,
    LivePresence,
    PresenceState,
    Shown,
    parse_presence_state,
)

NOW_S = 1_000.0
ACTIVE = Shown(PresenceState.ONLINE, currently_active=True)
ONLINE = Shown(PresenceState.ONLINE)
UNAVAILABLE = Shown(PresenceState.UNAVAILABLE)
OFFLINE = Shown(PresenceState.OFFLINE)


def connected(state: PresenceState, hold_s: float = 2 * IDLE_AFTER_S) -> LivePresence:
    live = LivePresence()
    live.connected(state, now_s=NOW_S, hold_s=hold_s)
    return live


def test_who_connects_is_online_then_inactive_then_idle_then_offline() -> None:
    live = connected(PresenceState.ONLINE)

    assert live.shown(NOW_S) == ACTIVE
    assert live.shown(NOW_S + ACTIVE_FOR_S) == ONLINE
    assert live.shown(NOW_S + IDLE_AFTER_S) == UNAVAILABLE
    assert live.shown(NOW_S + 2 * IDLE_AFTER_S) == OFFLINE


def test_staying_connected_is_no_activity() -> None:
    live = connected(PresenceState.ONLINE, hold_s=IDLE_AFTER_S)

    live.connected(
        PresenceState.ONLINE, now_s=NOW_S + IDLE_AFTER_S - 1, hold_s=IDLE_AFTER_S
    )

    assert live.shown(NOW_S + IDLE_AFTER_S) == UNAVAILABLE


def test_an_idle_client_does_not_hide_an_online_one() -> None:
    live = connected(PresenceState.ONLINE)

    live.connected(PresenceState.UNAVAILABLE, now_s=NOW_S, hold_s=1)

    assert live.shown(NOW_S) == ACTIVE


def test_an_idle_client_alone_is_unavailable() -> None:
    assert connected(PresenceState.UNAVAILABLE).shown(NOW_S) == UNAVAILABLE


def test_a_client_may_sync_unnoticed() -> None:
    assert connected(PresenceState.OFFLINE).shown(NOW_S) == OFFLINE


def test_any_activity_makes_an_idle_user_online() -> None:
    """ "Any activity … will cause the server to automatically set … online"."""
    live = connected(PresenceState.UNAVAILABLE)

    live.active(now_s=NOW_S + 1, hold_s=10)

    assert live.shown(NOW_S + 1) == ACTIVE


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (PresenceState.ONLINE, ACTIVE),
        (PresenceState.UNAVAILABLE, UNAVAILABLE),
        (PresenceState.OFFLINE, OFFLINE),
    ],
)
def test_what_the_user_says_counts_over_the_clients(
    state: PresenceState, shown: Shown
) -> None:
    live = connected(PresenceState.ONLINE)

    live.set(state, now_s=NOW_S, hold_s=10)

    assert live.shown(NOW_S) == shown


def test_an_unknown_state_is_refused() -> None:
    assert parse_presence_state("offline") is PresenceState.OFFLINE
    with pytest.raises(InvalidParam):
        parse_presence_state("busy")
