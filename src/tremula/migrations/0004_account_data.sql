-- Profiles, account data and filters of our own users.

-- One row a user that exists. propagate_pos is the position of the newest change
-- of displayname or avatar_url that the user's rooms have not all seen yet; 0: none.
CREATE TABLE profiles (
    user_id TEXT PRIMARY KEY,
    propagate_pos BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- Profiles that were being propagated when the server stopped.
CREATE INDEX profiles_to_propagate ON profiles (propagate_pos)
    WHERE propagate_pos > 0;

-- field_value is JSON.
CREATE TABLE profiles_fields (
    user_id TEXT NOT NULL,
    field_name TEXT NOT NULL,
    field_value BYTEA NOT NULL,
    PRIMARY KEY (user_id, field_name)
) /* sqlite: WITHOUT ROWID */;

-- room_nid 0 stands for global account data. content is a JSON object.
CREATE TABLE account_data (
    user_id TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    type TEXT NOT NULL,
    content BYTEA NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_nid, type)
) /* sqlite: WITHOUT ROWID */;

-- /sync reads what changed after a position.
CREATE INDEX account_data_by_pos ON account_data (user_id, pos);

-- filter_id is made from a hash of the definition: equal filters share a row.
CREATE TABLE filters (
    user_id TEXT NOT NULL,
    filter_id TEXT NOT NULL,
    definition BYTEA NOT NULL,
    used_ts_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, filter_id)
) /* sqlite: WITHOUT ROWID */;

-- The filters of a user from old to new: the oldest make room for new ones.
CREATE INDEX filters_by_use ON filters (user_id, used_ts_ms);
