-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB.

-- What devices ask for, from their request until it has expired. The device code is not here: the device has it, sealed.
CREATE TABLE device_authorizations (
    -- A UUIDv7: of the flow, and of the grant that comes of it.
    id BYTEA PRIMARY KEY,
    -- The keyed hash of the user code.
    user_code BYTEA NOT NULL,
    -- pending, accepted (the user code was entered), granted or denied
    state TEXT NOT NULL,
    -- Names the browser's visit in which the user code was entered: in another one it is of no use.
    accepted_by BYTEA,
    -- Sealed: what is asked for; once it is granted, what was granted.
    content BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX device_authorizations_user_code ON device_authorizations (user_code);
CREATE INDEX device_authorizations_expires_at ON device_authorizations (expires_at);
