-- Accounts that administrators have locked or suspended
-- (src/tremula/features/users/storage.py).
ALTER TABLE users ADD COLUMN locked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN suspended BIGINT NOT NULL DEFAULT 0;

-- What users have reported to the administrators
-- (src/tremula/features/reports/storage.py). `report_id` is a position in the journal;
-- of `room_id`, `event_id` and `user_id` those are set that the report is about.
CREATE TABLE reports (
    report_id BIGINT PRIMARY KEY,
    reporter TEXT NOT NULL,
    room_id TEXT,
    event_id TEXT,
    user_id TEXT,
    reason TEXT NOT NULL,
    created_ts_ms BIGINT NOT NULL,
    resolved_ts_ms BIGINT,
    resolution TEXT
);

CREATE INDEX reports_open ON reports (report_id) WHERE resolved_ts_ms IS NULL;
CREATE INDEX reports_open_by_reporter ON reports (reporter)
    WHERE resolved_ts_ms IS NULL;
