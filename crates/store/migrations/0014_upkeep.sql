-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch.

-- Work that one of all servers does at a time: when it was last begun.
CREATE TABLE upkeep (
    name TEXT PRIMARY KEY,
    began_at BIGINT NOT NULL
);
