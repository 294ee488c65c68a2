-- Full-text search (src/tremula/features/search/storage.py). What is derived can be made
-- anew from the events, and is when a database is copied (docs/architecture.md).

-- The terms of each text that can be found (protocol/search_text.py), and with them the
-- room, the kind of the text, its sender and, of an edit, what it replaces. The order of
-- the documents is that in which events came here; back-filled ones are before all others.
/* sqlite: CREATE VIRTUAL TABLE search_documents_derived USING fts5 (
    terms, content='', contentless_delete=1, detail=none, tokenize='ascii'); */
/* postgres: CREATE TABLE search_documents_derived (
    doc_id BIGINT PRIMARY KEY,
    terms TSVECTOR NOT NULL
);
-- Without a list of pending entries: whoever adds to a full one would sort all of it.
CREATE INDEX search_documents_by_term ON search_documents_derived
    USING gin (terms) WITH (fastupdate = off); */

-- Up to which journal position events are in what is made of them, and by which version
-- of the rules (src/tremula/rooms/following_storage.py).
CREATE TABLE rooms_followers_derived (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    pos BIGINT NOT NULL
);

-- Events that had been known before they came, in the order in which they did
-- (src/tremula/rooms/events_storage.py).
CREATE INDEX rooms_events_arrived ON rooms_events (arrived_pos)
    WHERE arrived_pos IS NOT NULL;
