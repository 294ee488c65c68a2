-- What our users are to rooms that this server is not in: invited, knocking, or gone
-- again (src/tremula/rooms/outside_storage.py). A row counts as long as event_nid is
-- that of the user's row in rooms_memberships: whoever joins is inside.
-- servers: a JSON list of those that can help; stripped_state: one of stripped events.

CREATE TABLE rooms_outside (
    user_id TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    room_version TEXT NOT NULL,
    client_json BYTEA NOT NULL,
    server_json BYTEA NOT NULL,
    servers BYTEA NOT NULL,
    stripped_state BYTEA NOT NULL,
    PRIMARY KEY (user_id, room_nid)
) /* sqlite: WITHOUT ROWID */;
