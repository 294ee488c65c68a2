-- The server's own signing key (src/tremula/features/server_keys/storage.py).

CREATE TABLE server_keys_own (
    singleton BIGINT PRIMARY KEY,
    key_id TEXT NOT NULL,
    seed BYTEA NOT NULL,
    created_ts BIGINT NOT NULL
);
