-- What application services are to be told
-- (src/tremula/features/appservice_transactions/storage.py).

-- Each event for each of them, by the journal position of its arrival, from the unit that
-- stores the event to the one that makes it part of a transaction. client_json is that of
-- an invitation to a room that this server is not in, which is no event of ours.
CREATE TABLE appservice_transactions_waiting (
    appservice_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    ts_ms BIGINT NOT NULL,
    client_json BYTEA,
    PRIMARY KEY (appservice_id, pos)
) /* sqlite: WITHOUT ROWID */;

-- The transaction that is under way to each of them, repeated as it is until it is taken.
CREATE TABLE appservice_transactions_begun (
    appservice_id TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (appservice_id)
) /* sqlite: WITHOUT ROWID */;
