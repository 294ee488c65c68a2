-- Where our users want to be notified (src/tremula/features/pushers/storage.py).

-- device_id is whose access token has set it; NULL: it is the user's own, as an e-mail
-- address is. data is JSON. Of what the user was notified of, everything up to the journal
-- position pos has been sent, or is not to be; badge is the number of unread messages that
-- was told last. After failures it is tried again at retry_at_ms. What unsubscribe_token is
-- in a mail's link ends the mails.
CREATE TABLE pushers (
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    kind TEXT NOT NULL,
    device_id TEXT,
    is_enabled BIGINT NOT NULL,
    app_display_name TEXT NOT NULL,
    device_display_name TEXT NOT NULL,
    profile_tag TEXT,
    lang TEXT NOT NULL,
    data BYTEA NOT NULL,
    set_ts_ms BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    badge BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    retry_at_ms BIGINT NOT NULL,
    unsubscribe_token TEXT,
    PRIMARY KEY (user_id, app_id, pushkey)
) /* sqlite: WITHOUT ROWID */;

-- A pushkey belongs to one user, unless it is set otherwise.
CREATE INDEX pushers_by_pushkey ON pushers (pushkey, app_id);

CREATE UNIQUE INDEX pushers_by_unsubscribe_token ON pushers (unsubscribe_token)
    WHERE unsubscribe_token IS NOT NULL;

-- When each user was last mailed about a room, and for how long not to be again.
CREATE TABLE pushers_mailed_rooms (
    user_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    mailed_ts_ms BIGINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, pushkey, room_nid)
) /* sqlite: WITHOUT ROWID */;
