-- One text for PostgreSQL and SQLite. On SQLite, BYTEA reads BLOB.

-- Of a client that was taken over: the version of its row when that was last written by an import, and a digest of what
-- the other server had of it then. So a later import knows on which side it was changed.
ALTER TABLE imported ADD COLUMN version BIGINT;
ALTER TABLE imported ADD COLUMN digest BYTEA;
