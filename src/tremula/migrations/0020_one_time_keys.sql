-- One-time and fallback keys of our users' devices (features/one_time_keys).

-- Given out in order of pos, the position of their upload. Those that were (is_claimed)
-- stay for a while: an upload that is repeated must not bring them back. content is
-- canonical JSON.
CREATE TABLE one_time_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    is_claimed BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, is_claimed, pos, key_id)
) /* sqlite: WITHOUT ROWID */;

-- A key ID stands for one key only.
CREATE UNIQUE INDEX one_time_keys_by_id
    ON one_time_keys (user_id, device_id, algorithm, key_id);

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
