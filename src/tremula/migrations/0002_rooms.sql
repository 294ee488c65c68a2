-- The room engine's tables (src/tremula/rooms/storage.py).
-- Every table leads with room_nid or user_id, so that the schema can be distributed.

CREATE TABLE rooms_rooms (
    room_nid BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL UNIQUE,
    room_version TEXT NOT NULL
);

-- event_nid is the journal position at which the event was first stored, so that an
-- event's is always higher than those of its auth events. room_pos is its place in the
-- room: live events count up from 1, back-filled ones down from 0; NULL for what no
-- timeline shows. standing: 0 accepted, 1 soft-failed, 2 rejected, 3 an outlier, known
-- only as an auth event or from a peer's state. arrived_pos is the journal position at
-- which an event came that had been an outlier before.
-- The state after the event is that of branch `branch` at `branch_pos`; NULL for the
-- live branch at room_pos. Outliers have neither.
CREATE TABLE rooms_events (
    event_nid BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_nid BIGINT NOT NULL,
    room_pos BIGINT,
    standing SMALLINT NOT NULL DEFAULT 0,
    branch BIGINT,
    branch_pos BIGINT,
    arrived_pos BIGINT,
    depth BIGINT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    origin_server_ts BIGINT NOT NULL,
    client_json BYTEA NOT NULL,
    server_json BYTEA NOT NULL,
    -- The state event that this one replaced, and the redaction that redacted it.
    replaces_nid BIGINT,
    redacted_by_nid BIGINT,
    -- Set on events of our own users that were sent with a transaction id.
    device_id TEXT,
    txn_id TEXT
);

-- /messages, /context and /sync read a room's events in order.
CREATE UNIQUE INDEX rooms_events_by_pos ON rooms_events (room_nid, room_pos);

-- timestamp_to_event.
CREATE INDEX rooms_events_by_ts ON rooms_events (room_nid, origin_server_ts);

-- A transaction id names one event for good.
CREATE UNIQUE INDEX rooms_events_by_txn
    ON rooms_events (room_nid, sender, device_id, txn_id, type)
    WHERE txn_id IS NOT NULL;

-- Every change of the state along a branch: the state at any position of a branch is
-- the newest row a key up to it, or else that of its base. event_nid 0: the key has no
-- event any more. Branch 0 is the live view: the current state as it was at each
-- room_pos. On other branches room_pos is the journal position of the event that made
-- the change. A room that never forked has branch 0 only.
CREATE TABLE rooms_state_changes (
    room_nid BIGINT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    branch BIGINT NOT NULL,
    room_pos BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, type, state_key, branch, room_pos)
) /* sqlite: WITHOUT ROWID */;

-- What changed between two positions of a branch.
CREATE INDEX rooms_state_changes_by_pos
    ON rooms_state_changes (room_nid, branch, room_pos);

-- What a branch adds its changes to: another branch as it was at a position. A branch
-- is named by the journal position at which it began.
CREATE TABLE rooms_branches (
    room_nid BIGINT NOT NULL,
    branch BIGINT NOT NULL,
    base_branch BIGINT NOT NULL,
    base_pos BIGINT NOT NULL,
    PRIMARY KEY (room_nid, branch)
) /* sqlite: WITHOUT ROWID */;

-- The forward extremities of a room, unless that is just its newest live event.
CREATE TABLE rooms_extremities (
    room_nid BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, event_nid)
) /* sqlite: WITHOUT ROWID */;

-- Previous events that this server does not have, by the accepted events that name
-- them: where history can be filled in.
CREATE TABLE rooms_missing_events (
    room_nid BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    named_by_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, event_id, named_by_nid)
) /* sqlite: WITHOUT ROWID */;

-- Redactions that came before what they redact. has_power: whether the sender may
-- redact the events of other servers, too.
CREATE TABLE rooms_early_redactions (
    room_nid BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    redaction_nid BIGINT NOT NULL,
    sender TEXT NOT NULL,
    has_power SMALLINT NOT NULL,
    PRIMARY KEY (room_nid, event_id, redaction_nid)
) /* sqlite: WITHOUT ROWID */;

-- The newest state of the live branch, as the room's head is loaded from it.
-- membership is that of m.room.member events.
CREATE TABLE rooms_current_state (
    room_nid BIGINT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event_nid BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    room_pos BIGINT NOT NULL,
    sender TEXT NOT NULL,
    membership TEXT,
    PRIMARY KEY (room_nid, type, state_key)
) /* sqlite: WITHOUT ROWID */;

-- The rooms of each of our own users; forgotten counts for leave and ban only.
CREATE TABLE rooms_memberships (
    user_id TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    membership TEXT NOT NULL,
    event_nid BIGINT NOT NULL,
    room_pos BIGINT NOT NULL,
    sender TEXT NOT NULL,
    forgotten BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_nid)
) /* sqlite: WITHOUT ROWID */;
