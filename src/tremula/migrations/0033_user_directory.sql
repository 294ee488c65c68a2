-- Words of user IDs and of the names that users had in rooms
-- (src/tremula/features/user_directory/storage.py), of other servers' users as well.
-- Whether somebody may find a user by them is decided when they search.
CREATE TABLE user_directory_terms (
    term TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (term, user_id)
) /* sqlite: WITHOUT ROWID */;
