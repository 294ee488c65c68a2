-- What two devices tell each other during a login (src/tremula/features/rendezvous).

-- Minutes old at most. Who made it speaks protocol ('msc4108' or 'msc4388'), as must the
-- other device; sequence counts the payloads.
CREATE TABLE rendezvous_sessions (
    session_id TEXT NOT NULL,
    protocol TEXT NOT NULL,
    payload BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    modified_ts_ms BIGINT NOT NULL,
    expires_ts_ms BIGINT NOT NULL,
    PRIMARY KEY (session_id)
);

-- Expired ones are removed, and the others counted.
CREATE INDEX rendezvous_sessions_by_expiry ON rendezvous_sessions (expires_ts_ms);
