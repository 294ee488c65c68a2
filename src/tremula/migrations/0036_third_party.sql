-- E-mail addresses of our users (src/tremula/features/third_party/storage.py).
CREATE TABLE third_party_ids (
    medium TEXT NOT NULL,
    -- In its one canonical form; of one user only.
    address TEXT NOT NULL,
    user_id TEXT NOT NULL,
    validated_ts_ms BIGINT NOT NULL,
    added_ts_ms BIGINT NOT NULL,
    PRIMARY KEY (medium, address)
);

-- ids_of.
CREATE INDEX third_party_ids_by_user ON third_party_ids (user_id);

-- Addresses that somebody is to prove to be theirs, by a token that was mailed there.
-- Without a token_hash no mail can prove it: the address is not one for that purpose.
CREATE TABLE third_party_sessions (
    sid TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    address TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    token_hash BYTEA,
    next_link TEXT,
    send_attempt BIGINT NOT NULL,
    validated_ts_ms BIGINT,
    expires_ts_ms BIGINT NOT NULL
);

-- find_session_of.
CREATE UNIQUE INDEX third_party_sessions_by_secret
ON third_party_sessions (purpose, address, secret_hash);

-- delete_expired_sessions.
CREATE INDEX third_party_sessions_by_expiry ON third_party_sessions (expires_ts_ms);

-- Rooms that an address is invited to, until its owner has an account here. The token is
-- the state key of the room's m.room.third_party_invite.
CREATE TABLE third_party_invites (
    token TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    room_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    created_ts_ms BIGINT NOT NULL
);

-- invites_for.
CREATE INDEX third_party_invites_by_address ON third_party_invites (address);
