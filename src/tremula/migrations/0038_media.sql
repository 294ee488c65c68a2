-- Files of users and of other servers (src/tremula/features/media).

-- One row an mxc:// URI; server_name is our own for what is here first. sha256 is NULL as
-- long as nothing was uploaded, which may be done until expires_ts_ms. user_id is who
-- uploaded it, NULL for what is only kept here for a while: copies of other servers' media,
-- images of previews. accessed_ts_ms is right to a day. is_public: it may be had without
-- an access token. is_protected: it is never deleted by age, nor quarantined.
CREATE TABLE media (
    server_name TEXT NOT NULL,
    media_id TEXT NOT NULL,
    user_id TEXT,
    sha256 TEXT,
    size_bytes BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    filename TEXT,
    created_ts_ms BIGINT NOT NULL,
    accessed_ts_ms BIGINT NOT NULL,
    expires_ts_ms BIGINT,
    is_public BIGINT NOT NULL,
    is_protected BIGINT NOT NULL,
    PRIMARY KEY (server_name, media_id)
);

-- Whether a blob is still needed.
CREATE INDEX media_by_blob ON media (sha256) WHERE sha256 IS NOT NULL;

-- What a user has uploaded, what it weighs, and what is pending.
CREATE INDEX media_by_user ON media (user_id, media_id, size_bytes, expires_ts_ms)
    WHERE user_id IS NOT NULL;

CREATE INDEX media_pending ON media (expires_ts_ms) WHERE sha256 IS NULL;

-- What was used least recently goes first.
CREATE INDEX media_cached ON media (accessed_ts_ms, size_bytes) WHERE user_id IS NULL;

CREATE INDEX media_local_by_access ON media (accessed_ts_ms) WHERE user_id IS NOT NULL;

-- The bytes, once each. object_key is where they are; a key is used for one row only, so
-- that deleting and storing the same bytes again can't meet. At check_ts_ms it is looked
-- whether anything still refers to them; NULL where something surely does.
CREATE TABLE media_blobs (
    sha256 TEXT NOT NULL,
    object_key TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    is_stored BIGINT NOT NULL,
    check_ts_ms BIGINT,
    PRIMARY KEY (sha256)
);

CREATE INDEX media_blobs_to_check ON media_blobs (check_ts_ms)
    WHERE check_ts_ms IS NOT NULL;

-- Objects that are in no blob any more, and are to be deleted from the store.
CREATE TABLE media_garbage (
    object_key TEXT NOT NULL,
    PRIMARY KEY (object_key)
);

-- Thumbnails belong to the bytes that they show. Unless the outcome is 'made' there is
-- none, and no sha256.
CREATE TABLE media_thumbnails (
    source_sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    sha256 TEXT,
    size_bytes BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    PRIMARY KEY (source_sha256, name)
);

CREATE INDEX media_thumbnails_by_blob ON media_thumbnails (sha256)
    WHERE sha256 IS NOT NULL;

-- Bytes that nobody is served any more, whatever media they are uploaded as.
CREATE TABLE media_quarantined_blobs (
    sha256 TEXT NOT NULL,
    quarantined_by TEXT NOT NULL,
    PRIMARY KEY (sha256)
);

-- One row: what the store was marked with when it was first used, so that another folder,
-- or one that is not mounted, is noticed.
CREATE TABLE media_store (
    id BIGINT NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (id)
);
