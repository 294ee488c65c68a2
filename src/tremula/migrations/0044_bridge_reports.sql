-- What bridges report of themselves (src/tremula/features/bridge_reports/storage.py).

-- The newest state of each login of a bridge; state is JSON, as it came.
CREATE TABLE bridge_reports_states (
    appservice_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    state TEXT NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (appservice_id, user_id, remote_id)
) /* sqlite: WITHOUT ROWID */;

-- The oldest are deleted.
CREATE INDEX bridge_reports_states_by_time ON bridge_reports_states (appservice_id, ts_ms);

-- How far messages have come, by the event and the step on its way; also JSON.
CREATE TABLE bridge_reports_checkpoints (
    appservice_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    step TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    ts_ms BIGINT NOT NULL,
    PRIMARY KEY (appservice_id, event_id, step)
) /* sqlite: WITHOUT ROWID */;

CREATE INDEX bridge_reports_checkpoints_by_time
    ON bridge_reports_checkpoints (appservice_id, ts_ms);
