-- EDUs that must arrive (src/tremula/infra/federation/durable_edus_storage.py).

-- In order of pos, a journal position. edu is the whole EDU as JSON. is_begun: it is in
-- the transaction that federation_destinations has, and so is repeated with it as it is.
-- Of those with one replacement_key the newest is enough.
CREATE TABLE federation_edus (
    server_name TEXT NOT NULL,
    is_begun BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    replacement_key TEXT,
    edu BYTEA NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (server_name, pos)
);

-- What is in the transaction under way, and what comes next.
CREATE INDEX federation_edus_by_turn ON federation_edus (server_name, is_begun, pos);

CREATE INDEX federation_edus_by_key ON federation_edus (server_name, replacement_key)
    WHERE replacement_key IS NOT NULL;
