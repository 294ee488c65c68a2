-- The room engine's tables (src/tremula/rooms/storage.py).
-- Every table leads with room_nid or user_id, so that the schema can be distributed.

CREATE TABLE rooms_rooms (
    room_nid BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL UNIQUE,
    room_version TEXT NOT NULL
);

-- event_nid is the event's journal position; room_pos its place in the room:
-- live events count up from 1, back-filled ones down from 0.
CREATE TABLE rooms_events (
    event_nid BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_nid BIGINT NOT NULL,
    room_pos BIGINT NOT NULL,
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

-- The state that changed between two positions of a room.
CREATE INDEX rooms_events_state_by_pos ON rooms_events (room_nid, room_pos)
    WHERE state_key IS NOT NULL;

-- timestamp_to_event.
CREATE INDEX rooms_events_by_ts ON rooms_events (room_nid, origin_server_ts);

-- A transaction id names one event for good.
CREATE UNIQUE INDEX rooms_events_by_txn
    ON rooms_events (room_nid, sender, device_id, txn_id, type)
    WHERE txn_id IS NOT NULL;

-- Every change of the state along a branch: the state at any position of a room
-- is the newest row a key up to it. A room that never forked has branch 0 only.
CREATE TABLE rooms_state_changes (
    room_nid BIGINT NOT NULL,
    type TEXT NOT NULL,
    state_key TEXT NOT NULL,
    branch BIGINT NOT NULL,
    room_pos BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, type, state_key, branch, room_pos)
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
