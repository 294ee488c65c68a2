-- Events to be sent at a later time (src/tremula/features/delayed_events/storage.py).
-- A row is finalised when its event was sent, cancelled, or refused; then it is kept for
-- a while. Without txn_id it was scheduled by PUT …/state, which has none.
CREATE TABLE delayed_events (
    delay_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    txn_id TEXT,
    room_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    state_key TEXT,
    content TEXT NOT NULL,
    delay_ms BIGINT NOT NULL,
    since_ts_ms BIGINT NOT NULL,
    -- The journal's position when it was scheduled.
    scheduled_pos BIGINT NOT NULL,
    -- 1 from just before it is sent: then it may have been, whatever else is known.
    begun BIGINT NOT NULL DEFAULT 0,
    finalised_ts_ms BIGINT,
    event_id TEXT,
    error TEXT,
    reason TEXT
);

-- find_scheduled_by_txn; nothing is scheduled twice.
CREATE UNIQUE INDEX delayed_events_by_txn
ON delayed_events (user_id, device_id, room_id, event_type, txn_id);

-- delayed_events_of, scheduled_of.
CREATE INDEX delayed_events_by_user ON delayed_events (user_id, finalised_ts_ms);

-- items_after.
CREATE INDEX delayed_events_scheduled
ON delayed_events (delay_id) WHERE finalised_ts_ms IS NULL;

-- delete_finalised_before.
CREATE INDEX delayed_events_finalised
ON delayed_events (finalised_ts_ms) WHERE finalised_ts_ms IS NOT NULL;
