-- Threads that users want to be told of, or do not any more (MSC4306;
-- src/tremula/features/thread_subscriptions/storage.py). pos is the journal position of
-- the newest change.

CREATE TABLE thread_subscriptions (
    user_id TEXT NOT NULL,
    room_nid BIGINT NOT NULL,
    root_id TEXT NOT NULL,
    -- 0: unsubscribed; 1: subscribed by a client; 2: by the user.
    kind SMALLINT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_nid, root_id)
) /* sqlite: WITHOUT ROWID */;

-- The newest changes of a user's.
CREATE INDEX thread_subscriptions_by_pos ON thread_subscriptions (user_id, pos);
