-- Rooms that were joined without their members (src/tremula/rooms/partial_storage.py).

-- join_nid is our join: the state before it is asked for, at `servers`, a JSON list.
-- The live view has what is known of it at base_pos. completed_pos is the journal
-- position from which on all of the state is known; NULL as long as it is not.
CREATE TABLE rooms_partial_states (
    room_nid BIGINT PRIMARY KEY,
    join_nid BIGINT NOT NULL,
    base_pos BIGINT NOT NULL,
    servers BYTEA NOT NULL,
    completed_pos BIGINT
);

-- Events that were judged without knowing all that decides: they are judged again.
CREATE TABLE rooms_unproven_events (
    room_nid BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, event_nid)
) /* sqlite: WITHOUT ROWID */;

-- Verified PDUs that cannot be judged before the state is known, as `origin` sent them.
CREATE TABLE rooms_deferred_events (
    room_nid BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    depth BIGINT NOT NULL,
    pdu BYTEA NOT NULL,
    PRIMARY KEY (room_nid, event_id)
) /* sqlite: WITHOUT ROWID */;
