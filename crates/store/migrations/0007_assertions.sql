-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB.

-- Assertions that were used, until they end: each is good once.
CREATE TABLE used_assertions (
    -- A digest of whose it is and its jti.
    id BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX used_assertions_expires_at ON used_assertions (expires_at);

-- Issuers of assertions that are trusted, one row for each key and subject.
CREATE TABLE trusted_issuers (
    -- A UUIDv7.
    id BYTEA PRIMARY KEY,
    -- A digest of issuer, subject and the key's name.
    identity BYTEA NOT NULL UNIQUE,
    -- For look-ups only.
    issuer TEXT NOT NULL,
    -- Sealed, so that whoever can write here makes nobody trusted.
    content BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX trusted_issuers_issuer ON trusted_issuers (issuer);
