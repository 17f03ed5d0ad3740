-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB.

-- The ends of logins, and the clients that are told of them. One statement writes both.
CREATE TABLE logouts (
    -- 'session:…', or 'subject:…' for all logins of one. Clients are told of single sessions.
    key TEXT NOT NULL,
    -- The client that is told. Empty in the row that is the end itself, which keeps the login from coming back.
    client_id TEXT NOT NULL,
    -- The client's when it got what belongs to the session.
    incarnation BIGINT,
    session_id TEXT,
    subject TEXT,
    -- Logins that began at this time or before are ended.
    ended_at BIGINT NOT NULL,
    -- When the server tells the client, or another server may try in place of one that is at it. Null where it does not:
    -- the browser does, or the row is the end itself.
    due_at BIGINT,
    -- How often it was tried, and the name of the last attempt.
    attempts BIGINT NOT NULL,
    attempt BYTEA,
    -- When the server gives up, or the end is forgotten.
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key, client_id)
);

CREATE INDEX logouts_due_at ON logouts (due_at);
CREATE INDEX logouts_expires_at ON logouts (expires_at);
