-- Push rules, and whom events have notified (src/tremula/features/push/storage.py).

-- What a user's rules differ in from the predefined ones, as JSON; pos is the journal
-- position since when. No row: in nothing.
CREATE TABLE push_rules (
    user_id TEXT PRIMARY KEY,
    rules BYTEA NOT NULL,
    pos BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

-- The keys that a user's rules had before, up to a journal position: in the room room_id,
-- or in all that have no row with this or a lower position ('').
CREATE TABLE push_past_rulesets (
    user_id TEXT NOT NULL,
    until_pos BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    ruleset TEXT NOT NULL,
    PRIMARY KEY (user_id, until_pos, room_id)
) /* sqlite: WITHOUT ROWID */;

-- Whom an event notifies: by rows to be added up. The one with the ruleset '' is for all in
-- the room; one with the key of a ruleset says what is otherwise for those who have it, and
-- one with a user ID what is otherwise for that user: notifies and highlights are 1, 0 or
-- -1. actions, as JSON, are those of the most specific row. thread is the root of the event's thread, or 'main'. pos is the journal position
-- of the event's arrival.
CREATE TABLE push_marks (
    room_nid BIGINT NOT NULL,
    ruleset TEXT NOT NULL,
    room_pos BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    thread TEXT NOT NULL,
    sender TEXT NOT NULL,
    notifies BIGINT NOT NULL,
    highlights BIGINT NOT NULL,
    actions TEXT NOT NULL,
    PRIMARY KEY (room_nid, ruleset, room_pos)
) /* sqlite: WITHOUT ROWID */;

-- Since which journal position each of our users has been what they are to a room.
ALTER TABLE rooms_memberships ADD COLUMN began_pos BIGINT NOT NULL DEFAULT 0;
