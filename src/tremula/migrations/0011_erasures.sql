-- Our users who had erased what they sent, and since which journal position
-- (src/tremula/rooms/erasures_storage.py).

CREATE TABLE rooms_erasures (
    user_id TEXT PRIMARY KEY,
    erased_pos BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;
