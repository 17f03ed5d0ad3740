-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB.

-- What was taken over from another server: each thing once, whatever became of it here since.
CREATE TABLE imported (
    -- A digest of its kind and its name there; of a token, of its signature.
    id BYTEA PRIMARY KEY,
    -- Of a token: sealed, what it stands for here.
    content BYTEA,
    -- Null: kept.
    expires_at BIGINT
);

CREATE INDEX imported_expires_at ON imported (expires_at);

-- The keys with which that server signed those tokens, until the last of them has expired.
CREATE TABLE imported_secrets (
    id BYTEA PRIMARY KEY,
    -- Sealed.
    content BYTEA NOT NULL
);
