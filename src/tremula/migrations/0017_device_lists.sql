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
