-- What decisions rest on that any of several processes makes.

-- The position of the newest change of a profile: who has read an older one reads again
-- (src/tremula/features/profiles/storage.py).
ALTER TABLE profiles ADD COLUMN changed_pos BIGINT NOT NULL DEFAULT 0;

-- Nonces of registrations by shared secret, each for one
-- (src/tremula/features/registration/storage.py). Hashed with SHA-256.
CREATE TABLE registration_nonces (
    nonce_hash BYTEA PRIMARY KEY,
    expires_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;
