-- Tokens that prove who a user is, as hashes (src/tremula/features/openid/storage.py).

CREATE TABLE openid_tokens (
    token_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

CREATE INDEX openid_tokens_by_expiry ON openid_tokens (expires_ts_ms);
