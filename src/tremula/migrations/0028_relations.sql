-- What events say of others (src/tremula/rooms/relations_storage.py): one row for each
-- event of a timeline whose `m.relates_to` is well-formed, until it is redacted. The
-- parent may be one that is not here. Edits without a new content are left out.

CREATE TABLE rooms_relations (
    room_nid BIGINT NOT NULL,
    parent_id TEXT NOT NULL,
    rel_type TEXT NOT NULL,
    -- Of the child.
    room_pos BIGINT NOT NULL,
    event_nid BIGINT NOT NULL,
    PRIMARY KEY (room_nid, parent_id, rel_type, room_pos)
) /* sqlite: WITHOUT ROWID */;

-- Threads by who takes part in them: how many events of a thread are the sender's, and
-- the place of the newest of them.
CREATE TABLE rooms_threads (
    room_nid BIGINT NOT NULL,
    root_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    count BIGINT NOT NULL,
    newest_pos BIGINT NOT NULL,
    PRIMARY KEY (room_nid, root_id, sender)
) /* sqlite: WITHOUT ROWID */;

-- The threads of a room, by when something was said in them.
CREATE INDEX rooms_threads_by_pos ON rooms_threads (room_nid, newest_pos);

-- What is stored already, by the rules of tremula.protocol.relations. PostgreSQL cannot
-- read a JSON text with a NUL in it; where one is anywhere in an event, its relation
-- is left out.
/* sqlite:
INSERT INTO rooms_relations (room_nid, parent_id, rel_type, room_pos, event_nid)
SELECT room_nid, parent_id, rel_type, room_pos, event_nid
FROM (
    SELECT room_nid, room_pos, event_nid, type, state_key,
        json_extract(body, '$.content."m.relates_to".event_id') AS parent_id,
        json_extract(body, '$.content."m.relates_to".rel_type') AS rel_type,
        json_type(body, '$.content."m.relates_to".event_id') AS parent_kind,
        json_type(body, '$.content."m.relates_to".rel_type') AS rel_kind,
        json_type(body, '$.content."m.new_content"') AS new_kind
    FROM (
        SELECT *, CAST(client_json AS TEXT) AS body FROM rooms_events
        WHERE room_pos IS NOT NULL AND redacted_by_nid IS NULL
            AND instr(client_json, CAST('"m.relates_to"' AS BLOB)) > 0
            AND instr(client_json, CAST('\u0000' AS BLOB)) = 0
    ))
WHERE parent_kind = 'text' AND rel_kind = 'text'
    AND substr(parent_id, 1, 1) = '$' AND length(CAST(parent_id AS BLOB)) <= 255
    AND length(CAST(rel_type AS BLOB)) BETWEEN 1 AND 255
    AND (rel_type <> 'm.replace' OR (state_key IS NULL
        AND (type = 'm.room.encrypted' OR coalesce(new_kind, '') = 'object')));
*/
/* postgres:
WITH related AS MATERIALIZED (
    SELECT room_nid, room_pos, event_nid, type, state_key,
        convert_from(client_json, 'UTF8') AS body
    FROM rooms_events
    WHERE room_pos IS NOT NULL AND redacted_by_nid IS NULL
        AND position('"m.relates_to"'::bytea IN client_json) > 0
        AND position('\\u0000'::bytea IN client_json) = 0
    ), parsed AS MATERIALIZED (
    SELECT room_nid, room_pos, event_nid, type, state_key,
        body::json #>> '{content,m.relates_to,event_id}' AS parent_id,
        body::json #>> '{content,m.relates_to,rel_type}' AS rel_type,
        json_typeof(body::json #> '{content,m.relates_to,event_id}') AS parent_kind,
        json_typeof(body::json #> '{content,m.relates_to,rel_type}') AS rel_kind,
        json_typeof(body::json #> '{content,m.new_content}') AS new_kind
    FROM related
    )
INSERT INTO rooms_relations (room_nid, parent_id, rel_type, room_pos, event_nid)
SELECT room_nid, parent_id, rel_type, room_pos, event_nid
FROM parsed
WHERE parent_kind = 'string' AND rel_kind = 'string'
    AND substr(parent_id, 1, 1) = '$' AND octet_length(parent_id) <= 255
    AND octet_length(rel_type) BETWEEN 1 AND 255
    AND (rel_type <> 'm.replace' OR (state_key IS NULL
        AND (type = 'm.room.encrypted' OR coalesce(new_kind, '') = 'object')));
*/

INSERT INTO rooms_threads (room_nid, root_id, sender, count, newest_pos)
SELECT r.room_nid, r.parent_id, e.sender, COUNT(*), MAX(r.room_pos)
FROM rooms_relations r
JOIN rooms_events e ON e.event_nid = r.event_nid
WHERE r.rel_type = 'm.thread'
GROUP BY r.room_nid, r.parent_id, e.sender;
