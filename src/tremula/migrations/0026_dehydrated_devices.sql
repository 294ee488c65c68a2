-- Devices that sleep on the server (src/tremula/features/dehydrated_devices).

-- One a user at most: a device as others are, which nobody is logged in with. device_data
-- is JSON: its private keys, encrypted.
CREATE TABLE dehydrated_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_data BYTEA NOT NULL,
    PRIMARY KEY (user_id)
) /* sqlite: WITHOUT ROWID */;
