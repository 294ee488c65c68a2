-- Connections of sliding sync (features/sliding_sync).

-- What a client has, if it got the answer that this is the state after. rooms is
-- MessagePack: which rooms were sent as what, up to where. Of each connection the
-- version that its client last came with is kept, and the newest ones after that.
CREATE TABLE sliding_sync_states (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    conn_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    used_ts_ms BIGINT NOT NULL,
    rooms BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id, conn_id, version)
);

-- Those that nobody has come back to are removed.
CREATE INDEX sliding_sync_states_by_use ON sliding_sync_states (used_ts_ms);
