-- Application services, by files of the operator or added while the server runs
-- (src/tremula/features/appservices/storage.py). The registration is JSON; its tokens
-- have to be shown to their owners again, and sent to them.
CREATE TABLE appservices (
    appservice_id TEXT PRIMARY KEY,
    as_token_hash BYTEA NOT NULL,
    registration BYTEA NOT NULL,
    from_file BIGINT NOT NULL
) /* sqlite: WITHOUT ROWID */;

CREATE UNIQUE INDEX appservices_tokens ON appservices (as_token_hash);

-- Whose the names of users' own bridges are, for good: users with these names stay when
-- a bridge goes (src/tremula/features/user_appservices/storage.py).
CREATE TABLE user_appservices_names (
    bridge_name TEXT PRIMARY KEY,
    user_id TEXT NOT NULL
) /* sqlite: WITHOUT ROWID */;
