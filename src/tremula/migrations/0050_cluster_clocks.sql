-- How much the clock of a member's machine was behind the database's when the member had
-- last asked; NULL if it has not, as one of an older version.
ALTER TABLE infra_members ADD COLUMN clock_behind_ms BIGINT;
