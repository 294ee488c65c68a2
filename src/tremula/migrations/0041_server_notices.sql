-- The room of each user in which the server speaks to them
-- (src/tremula/features/server_notices/storage.py).
CREATE TABLE server_notices (
    user_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL
) /* sqlite: WITHOUT ROWID */;
