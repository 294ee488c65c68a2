-- Messages to devices (features/to_device).

-- The devices of our users that can be sent messages: all of them.
CREATE TABLE to_device_inboxes (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id)
) /* sqlite: WITHOUT ROWID */;

INSERT INTO to_device_inboxes (user_id, device_id)
SELECT user_id, device_id FROM devices;

-- What a device has not received yet, in order of journal position. event is JSON.
CREATE TABLE to_device_messages (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, pos)
);

-- What devices have sent, so that nothing is sent twice.
CREATE TABLE to_device_txns (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, event_type, txn_id)
) /* sqlite: WITHOUT ROWID */;

-- Old ones are removed.
CREATE INDEX to_device_txns_by_ts ON to_device_txns (ts_ms);

-- What other servers have sent, by the ID that they gave it.
CREATE TABLE to_device_received (
    origin TEXT NOT NULL,
    message_id TEXT NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (origin, message_id)
) /* sqlite: WITHOUT ROWID */;

-- Old ones are removed.
CREATE INDEX to_device_received_by_ts ON to_device_received (ts_ms);
