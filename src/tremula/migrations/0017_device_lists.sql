-- Whose devices changed (src/tremula/features/device_lists/storage.py): the journal
-- position of each user's newest change, of other servers' users as well.
CREATE TABLE device_lists_changes (
    user_id TEXT PRIMARY KEY,
    pos BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- What changed since a token.
CREATE INDEX device_lists_changes_by_pos ON device_lists_changes (pos);

-- The rooms that a user is joined to, whoever's user it is: with whom they share one
-- (src/tremula/rooms/storage.py).
CREATE INDEX rooms_current_state_joined ON rooms_current_state (state_key, room_nid)
    WHERE membership = 'join';

-- Devices of other servers' users, and what other servers are told of ours
-- (src/tremula/features/remote_devices/storage.py).

-- Whose list is known. stream_id is that of the newest update in it; shared_pos: the
-- list is kept up to date since this journal position, if a room was shared throughout.
CREATE TABLE remote_devices_lists (
    user_id TEXT PRIMARY KEY,
    stream_id BIGINT NOT NULL,
    shared_pos BIGINT NOT NULL,
    master_key BYTEA,
    self_signing_key BYTEA
) /* sqlite: WITHOUT ROWID */;

-- Their devices that have keys. device_keys is JSON, verified.
CREATE TABLE remote_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_keys BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id)
) /* sqlite: WITHOUT ROWID */;

-- Whose list is to be fetched, also while it is. seen_pos is the journal position of the
-- newest update that came: what was asked for before that may lack it.
CREATE TABLE remote_devices_wanted (
    user_id TEXT PRIMARY KEY,
    seen_pos BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    retry_at_ms BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

CREATE INDEX remote_devices_wanted_by_time ON remote_devices_wanted (retry_at_ms);

-- Devices of our users of which others are still to be told; device_id '': the
-- cross-signing keys. pos is that of the newest change.
CREATE TABLE remote_devices_untold (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
) /* sqlite: WITHOUT ROWID */;

-- The stream_id of the newest update that was sent of each of our users.
CREATE TABLE remote_devices_told (
    user_id TEXT PRIMARY KEY,
    stream_id BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Since when any of our users is in a room.
CREATE INDEX rooms_memberships_joined ON rooms_memberships (room_nid, event_nid)
    WHERE membership = 'join';
