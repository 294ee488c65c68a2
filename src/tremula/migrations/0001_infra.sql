-- What the machine itself remembers (src/tremula/infra).
-- infra_migrations, the list of applied migrations, is made by infra/db/migrations.py.

-- One row: whose database this is.
CREATE TABLE infra_server (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    server_name TEXT NOT NULL
);

-- One row a writing process; writer 1 is the only one of a server without a cluster.
-- reserved_pos: no journal position above it was ever handed out (infra/positions.py).
-- batch: the number of the last committed batch, by which a writer that lost its
-- connection during COMMIT learns the outcome (infra/db/postgres_writer.py).
CREATE TABLE infra_writers (
    writer BIGINT PRIMARY KEY,
    reserved_pos BIGINT NOT NULL,
    batch BIGINT NOT NULL
);

INSERT INTO infra_writers (writer, reserved_pos, batch) VALUES (1, 0, 0);
