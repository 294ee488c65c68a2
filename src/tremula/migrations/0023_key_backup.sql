-- Backups of room keys (src/tremula/features/key_backup/storage.py).

-- Versions count from 1 for each user. Of deleted ones the newest stays (is_deleted), so
-- that no number comes twice. etag counts the changes of what is stored, session_count
-- the sessions; auth_data is JSON.
CREATE TABLE key_backup_versions (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data BYTEA NOT NULL,
    is_deleted BIGINT NOT NULL,
    etag BIGINT NOT NULL,
    session_count BIGINT NOT NULL,
    PRIMARY KEY (user_id, version)
) /* sqlite: WITHOUT ROWID */;

-- One row a session: the best key that was uploaded. added_etag is the change that
-- brought the session, stored_etag that which brought this key; session_data is JSON.
CREATE TABLE key_backup_sessions (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    is_verified BIGINT NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    session_data BYTEA NOT NULL,
    added_etag BIGINT NOT NULL,
    stored_etag BIGINT NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);

-- What a change has brought is counted, whatever the backup holds.
CREATE INDEX key_backup_sessions_by_change
    ON key_backup_sessions (user_id, version, stored_etag);
