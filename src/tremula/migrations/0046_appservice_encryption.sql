-- Messages to devices of application services' users, by the journal position of their
-- arrival in the inboxes, until they are part of a transaction
-- (src/tremula/features/appservice_encryption/storage.py).
CREATE TABLE appservice_encryption_messages (
    appservice_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (appservice_id, pos, user_id)
) /* sqlite: WITHOUT ROWID */;

-- Up to where application services were told of changed device lists.
CREATE TABLE appservice_encryption_told (
    appservice_id TEXT NOT NULL,
    device_lists_pos BIGINT NOT NULL,
    PRIMARY KEY (appservice_id)
) /* sqlite: WITHOUT ROWID */;
