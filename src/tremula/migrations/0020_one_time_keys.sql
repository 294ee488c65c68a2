-- One-time and fallback keys of our users' devices (features/one_time_keys).

-- A few keys a row, in the order in which they were uploaded and are given out: by
-- upload (the how-manieth of the device), part, and place. The first *claimed* ones of
-- the row's *total* were given out; they stay for a while: an upload that is repeated
-- must not bring them back. contents are the keys, each canonical JSON, one behind the
-- other; places says where each ends, in order: {"<key_id>": bytes}. An upload that
-- rests on keys which were read meets one that was faster at its primary key.
CREATE TABLE one_time_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    upload BIGINT NOT NULL,
    part BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    total BIGINT NOT NULL,
    places TEXT NOT NULL,
    contents BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, upload, part)
);

-- One row an algorithm: given out when there are no one-time keys, again and again.
CREATE TABLE one_time_keys_fallback (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    content BYTEA NOT NULL,
    is_used BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
) /* sqlite: WITHOUT ROWID */;
