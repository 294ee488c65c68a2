-- What is to be sent to other servers (src/tremula/infra/federation/queues_storage.py).

-- The events that this server sends to all others in a room, by their journal position.
CREATE TABLE federation_outbox (
    pos BIGINT PRIMARY KEY,
    room_nid BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    ts_ms BIGINT NOT NULL
);

-- What one room has for a destination that is behind; the newest event of a room.
CREATE INDEX federation_outbox_by_room ON federation_outbox (room_nid, pos);

-- Which servers are in which rooms, and those that were: they get what was sent after
-- joined_pos, up to left_pos.
CREATE TABLE federation_room_servers (
    server_name TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    joined_pos BIGINT NOT NULL,
    left_pos BIGINT,
    PRIMARY KEY (server_name, room_nid)
) /* sqlite: WITHOUT ROWID */;

CREATE INDEX federation_room_servers_by_room ON federation_room_servers (room_nid);

-- sent_pos: everything in the outbox up to here has reached the destination.
-- txn_…: the transaction that was begun and must be repeated until it has arrived;
-- txn_event_nids is a JSON list.
CREATE TABLE federation_destinations (
    server_name TEXT PRIMARY KEY,
    sent_pos BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    retry_at_ms BIGINT NOT NULL,
    txn_id TEXT,
    txn_pos BIGINT,
    txn_event_nids TEXT
) /* sqlite: WITHOUT ROWID */;

-- One row: up to where the journal was searched for events to send.
CREATE TABLE federation_followed (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    pos BIGINT NOT NULL
);
