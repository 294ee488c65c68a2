-- Keys that are signed with no more, and those of other servers
-- (src/tremula/features/server_keys/storage.py).

-- In server_keys_own, the row with singleton 1 is the key that this server signs with,
-- one with singleton 2 the key that takes its place when the server next starts.
CREATE TABLE server_keys_old (
    key_id TEXT PRIMARY KEY,
    public_key BYTEA NOT NULL,
    expired_ts BIGINT NOT NULL
);

-- The newest list of each server, with its signature; valid_until_ts as it says itself.
CREATE TABLE server_keys_published (
    server_name TEXT PRIMARY KEY,
    list BYTEA NOT NULL,
    valid_until_ts BIGINT NOT NULL,
    fetched_ts BIGINT NOT NULL
);

-- Every key that a server has ever been known to have: old events are signed with it.
CREATE TABLE server_keys_verify (
    server_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    valid_until_ts BIGINT NOT NULL,
    PRIMARY KEY (server_name, key_id)
);
