-- Receipts and presence.

-- The newest receipt of each user, type and thread; thread_id '' stands for
-- unthreaded: NULLs never conflict, so that the upsert would duplicate.
-- room_pos is the place of the event in the room.
CREATE TABLE receipts (
    room_nid BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    receipt_type TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    room_pos BIGINT NOT NULL,
    ts_ms BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (room_nid, user_id, receipt_type, thread_id)
) /* sqlite: WITHOUT ROWID */;

-- /sync reads what changed in a room after a position.
CREATE INDEX receipts_by_pos ON receipts (room_nid, pos);

-- What outlives a restart of the presence of our own users.
CREATE TABLE presence (
    user_id TEXT PRIMARY KEY,
    status_msg TEXT,
    last_active_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;
