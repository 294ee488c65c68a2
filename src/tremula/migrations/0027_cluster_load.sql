-- What a member says of itself with each heartbeat
-- (src/tremula/infra/cluster/leases_storage.py): for how long what it has stored or
-- heard of is not shown there yet, and how many commands are under way there.
ALTER TABLE infra_members ADD COLUMN lag_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE infra_members ADD COLUMN commands BIGINT NOT NULL DEFAULT 0;
