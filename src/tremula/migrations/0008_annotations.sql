-- Annotations that are not redacted, so that nobody reacts twice in the same way
-- (src/tremula/rooms/annotations_storage.py). digest is that of
-- tremula.protocol.annotations; duplicates that others let through share one.

CREATE TABLE rooms_annotations (
    room_nid BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, digest, event_nid)
) /* sqlite: WITHOUT ROWID */;
