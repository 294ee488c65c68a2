-- Room aliases and the published rooms (src/tremula/features/directory/storage.py).

CREATE TABLE directory_aliases (
    alias TEXT PRIMARY KEY,
    room_nid BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL
);

-- GET /rooms/{room_id}/aliases, and moving aliases when a room is upgraded.
CREATE INDEX directory_aliases_by_room ON directory_aliases (room_nid);

-- The rooms of the published directory; the others have no row.
CREATE TABLE directory_published (
    room_nid BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL
);
