-- What bridges keep for users (src/tremula/features/receipts, mutes, media, directory).

-- What a receipt says beside its time: an object as JSON, NULL where that is nothing.
ALTER TABLE receipts ADD COLUMN extra BYTEA;

-- Rooms that are muted until a time, by a push rule that is removed then.
CREATE TABLE mutes (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    until_ts_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
) /* sqlite: WITHOUT ROWID */;

-- The next to end.
CREATE INDEX mutes_by_end ON mutes (until_ts_ms);

-- What a user calls an upload, so that the same file is uploaded once.
CREATE TABLE media_unique_ids (
    user_id TEXT NOT NULL,
    unique_id TEXT NOT NULL,
    media_id TEXT NOT NULL,
    PRIMARY KEY (user_id, unique_id)
) /* sqlite: WITHOUT ROWID */;

-- They are deleted with their media.
CREATE INDEX media_unique_ids_by_media ON media_unique_ids (media_id);

-- Rooms that application services list in the directories of their networks.
CREATE TABLE directory_networks (
    appservice_id TEXT NOT NULL,
    network_id TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    PRIMARY KEY (room_nid, appservice_id, network_id)
) /* sqlite: WITHOUT ROWID */;
