-- Several processes that are one server (src/tremula/infra/cluster/leases_storage.py).
-- All times are by the clock of PostgreSQL. Empty where there is one process alone.

-- One row a process: who is late beyond expires_ms is taken for dead by the others, which
-- delete the row. writer: its number in infra_writers. is_reachable: whether it is on the
-- bus; is_leaving: it hands over what it holds.
CREATE TABLE infra_members (
    member TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    writer BIGINT NOT NULL UNIQUE,
    is_leaving BIGINT NOT NULL,
    is_reachable BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- Who does the work of a slot: NULL, or one who is no member any more, is nobody. epoch
-- rises whenever that changes: what was begun under an older one is refused
-- (infra/db/fencing.py).
CREATE TABLE infra_slots (
    slot BIGINT PRIMARY KEY,
    member TEXT,
    epoch BIGINT NOT NULL
);

-- epoch rises whenever the number is given to a process or taken from it; freed_ms is
-- when it was last taken.
ALTER TABLE infra_writers ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE infra_writers ADD COLUMN freed_ms BIGINT NOT NULL DEFAULT 0;
