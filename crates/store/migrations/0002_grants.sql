-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB, and what a
-- table is told after WITH is left out.

-- One row per grant, from the exchange of its code until nothing refers to it any more. A refresh changes this row: what
-- it changes stands together at the end, and none of it is indexed, so that on PostgreSQL it touches one page.
CREATE TABLE grants (
    -- A UUIDv7: rows that are made one after the other lie side by side.
    id BYTEA PRIMARY KEY,
    -- Which creation of the client it is for, and how often "revoke all tokens" had been said to it.
    client_id TEXT NOT NULL,
    incarnation BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    -- Subject, code, operation and content are null in the tombstone of a grant whose code was never exchanged.
    subject TEXT,
    session_id TEXT,
    code_id BYTEA,
    -- Names the exchange that made the row: one that is repeated after a lost answer finds itself.
    operation BYTEA,
    -- Sealed: what was granted.
    content BYTEA,
    -- When the flow began: revocations since then hit the grant.
    started_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Counts refreshes.
    generation BIGINT NOT NULL,
    -- Of the random parts of the current and the previous refresh token.
    refresh_hash BYTEA,
    previous_hash BYTEA,
    -- Names the refresh that was last, and goes into the refresh token that it made.
    nonce BYTEA,
    rotated_at BIGINT,
    refresh_expires_at BIGINT,
    revoked_at BIGINT,
    expires_at BIGINT NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX grants_session_id ON grants (session_id);
CREATE INDEX grants_subject ON grants (subject);

-- Revocations that hit all grants of a subject, of a subject at a client, or of a login session.
CREATE TABLE revocations (
    key TEXT PRIMARY KEY,
    -- What the key is made of: a subject and perhaps a client, or a session.
    subject TEXT,
    client_id TEXT,
    session_id TEXT,
    -- Grants whose flow began at this time or before are hit.
    before BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revocations_expires_at ON revocations (expires_at);

-- Logins that are remembered.
CREATE TABLE login_sessions (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    -- Sealed.
    content BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX login_sessions_subject ON login_sessions (subject);
CREATE INDEX login_sessions_expires_at ON login_sessions (expires_at);

-- Consents that are remembered: the latest one of each subject for each client.
CREATE TABLE consents (
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    -- The client's when the consent was given: one that was created again under the id asks anew.
    incarnation BIGINT NOT NULL,
    -- The id of the grant with which it was given.
    consent_request_id BYTEA NOT NULL,
    -- Sealed.
    content BYTEA NOT NULL,
    granted_at BIGINT NOT NULL,
    -- Null: for ever.
    expires_at BIGINT,
    PRIMARY KEY (subject, client_id)
);

-- Sealed values of flows that are too long for a URL.
CREATE TABLE parked (
    id BYTEA PRIMARY KEY,
    content BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX parked_expires_at ON parked (expires_at);
