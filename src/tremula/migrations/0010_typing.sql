-- Rooms in which somebody has typed, so that a client that comes back after a restart
-- is told that they do not any more (src/tremula/features/typing/storage.py).

CREATE TABLE typing_rooms (
    room_nid BIGINT PRIMARY KEY,
    typed_ts_ms BIGINT NOT NULL
);
