-- timestamp_to_event walks from a time on, past events that the user may not see.

DROP INDEX rooms_events_by_ts;
CREATE INDEX rooms_events_by_ts
    ON rooms_events (room_nid, origin_server_ts, room_pos);
