-- Keys of our own users (src/tremula/features/device_keys/storage.py).

-- Devices and cross-signing keys share one table, since "servers MUST not allow devices
-- to have the same IDs as cross-signing keys": name is the device ID, or the public key.
-- usage is 'device', 'master', 'self_signing' or 'user_signing'. Every device has a row
-- as long as it exists; key_json is NULL until it has published its keys.
CREATE TABLE device_keys (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    usage TEXT NOT NULL,
    key_json BYTEA,
    PRIMARY KEY (user_id, name)
) /* sqlite: WITHOUT ROWID */;

CREATE UNIQUE INDEX device_keys_cross_signing ON device_keys (user_id, usage)
    WHERE usage <> 'device';

INSERT INTO device_keys (user_id, name, usage)
SELECT user_id, device_id, 'device' FROM devices;

-- Signatures that our users made with the key signing_name: on their own keys, and on
-- other users' master keys, of other servers as well. pos is when they came.
CREATE TABLE device_keys_signatures (
    user_id TEXT NOT NULL,
    target_user_id TEXT NOT NULL,
    target_name TEXT NOT NULL,
    signing_name TEXT NOT NULL,
    signature TEXT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, target_user_id, target_name, signing_name)
) /* sqlite: WITHOUT ROWID */;
