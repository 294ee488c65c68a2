-- The flows that a session was begun with, as a list of lists of stages: whoever goes on
-- in a browser does so without the request. NULL in what an older version began.
ALTER TABLE uia_sessions ADD COLUMN flows TEXT;
