-- Accounts: users, their devices and tokens, interactive authentication, registration.

-- Our own users. A row stays after deactivation, so that no one gets the name again.
-- password_hash is NULL for guests and the deactivated. departing is 1 from the
-- deactivation until the user has left every room.
CREATE TABLE users (
    user_id TEXT PRIMARY KEY,
    password_hash TEXT,
    created_ts_ms BIGINT NOT NULL,
    is_admin BIGINT NOT NULL,
    is_guest BIGINT NOT NULL,
    deactivated_ts_ms BIGINT,
    erased BIGINT NOT NULL,
    departing BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Departures that a crash interrupted.
CREATE INDEX users_departing ON users (user_id) WHERE departing = 1;

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_ts_ms BIGINT NOT NULL,
    last_seen_ts_ms BIGINT,
    last_seen_ip TEXT,
    last_seen_user_agent TEXT,
    PRIMARY KEY (user_id, device_id)
) /* sqlite: WITHOUT ROWID */;

-- A grant is an access token and, for clients that refresh, its refresh token, both
-- as SHA-256. replaces_grant_id names the grant that was refreshed into this one, as
-- long as neither of the new tokens was used.
CREATE TABLE sessions_grants (
    grant_id BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    access_hash BYTEA NOT NULL,
    access_expires_ts_ms BIGINT,
    refresh_hash BYTEA,
    refresh_expires_ts_ms BIGINT,
    replaces_grant_id BIGINT
);

CREATE UNIQUE INDEX sessions_grants_by_access ON sessions_grants (access_hash);
CREATE UNIQUE INDEX sessions_grants_by_refresh ON sessions_grants (refresh_hash);
CREATE INDEX sessions_grants_by_device ON sessions_grants (user_id, device_id);

-- Tokens with which a device logs in another one: worth nothing without the device that
-- it is from. token_hash is SHA-256.
CREATE TABLE login_tokens (
    token_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    expires_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Expired tokens are removed.
CREATE INDEX login_tokens_by_expiry ON login_tokens (expires_ts_ms);

-- session_hash is SHA-256 of the session id; request_mac an HMAC of the request under
-- that id, so that a stolen table cannot be searched for the passwords in requests.
-- user_id is '' where nobody is logged in; completed a JSON list of stages.
CREATE TABLE uia_sessions (
    session_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    request_mac BYTEA NOT NULL,
    completed TEXT NOT NULL,
    expires_ts_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Expired sessions are swept.
CREATE INDEX uia_sessions_by_expiry ON uia_sessions (expires_ts_ms);

-- uses_allowed NULL: any number; expires_ts_ms NULL: never. The CHECK refuses the
-- registration that would use a token once too often.
CREATE TABLE registration_tokens (
    token TEXT PRIMARY KEY,
    uses_allowed BIGINT,
    uses BIGINT NOT NULL,
    expires_ts_ms BIGINT,
    created_ts_ms BIGINT NOT NULL,
    CHECK (uses_allowed IS NULL OR uses <= uses_allowed)
) /* sqlite: WITHOUT ROWID */;
