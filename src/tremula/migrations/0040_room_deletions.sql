-- Rooms that users of this server are not let into
-- (src/tremula/features/blocked_rooms/storage.py).
CREATE TABLE blocked_rooms (
    room_id TEXT PRIMARY KEY,
    blocked_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Rooms that an administrator deletes, and how far that is
-- (src/tremula/features/room_deletions/storage.py).
CREATE TABLE room_deletions (
    room_id TEXT PRIMARY KEY,
    room_nid BIGINT NOT NULL,
    stays_blocked BIGINT NOT NULL,
    requested_ts_ms BIGINT NOT NULL,
    emptied_ts_ms BIGINT,
    done_ts_ms BIGINT
) /* sqlite: WITHOUT ROWID */;

CREATE INDEX room_deletions_undone ON room_deletions (room_id)
    WHERE done_ts_ms IS NULL;
