-- One text for PostgreSQL and SQLite. Times are whole seconds since the epoch. On SQLite, BYTEA reads BLOB.

-- The root keys that all other keys derive from, each wrapped by a system secret.
CREATE TABLE root_keys (
    generation BIGINT PRIMARY KEY,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    -- The longest lifetimes that the client has of its own, in seconds: they decide how long signing keys stay published.
    longest_access_token BIGINT,
    longest_id_token BIGINT,
    -- The resource that owns the row.
    manager_cluster TEXT,
    manager_namespace TEXT,
    manager_name TEXT,
    manager_uid TEXT,
    spec_hash TEXT,
    -- When the current secret was made, and the rotation request that was handled last.
    secret_rotated_at BIGINT,
    handled_rotate_secret TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX clients_manager_uid ON clients (manager_uid);

CREATE TABLE client_secrets (
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    -- current, previous or pending
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (client_id, hash)
);

CREATE TABLE key_sets (
    name TEXT PRIMARY KEY,
    key_use TEXT NOT NULL,
    policy TEXT NOT NULL,
    -- The resource that owns the set; all four are null where the server made it.
    manager_cluster TEXT,
    manager_namespace TEXT,
    manager_name TEXT,
    manager_uid TEXT,
    handled_rotate TEXT,
    handled_rotate_now TEXT,
    -- No key becomes active before this: verifiers may hold a key set with a longer max-age until then.
    lead_floor BIGINT,
    -- The longest lifetime in seconds of what the set signs; and a longer one from before, until its last token ends.
    lifetime BIGINT NOT NULL,
    lifetime_before BIGINT,
    lifetime_before_until BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE keys (
    set_name TEXT NOT NULL REFERENCES key_sets (name) ON DELETE CASCADE,
    kid TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    -- Sealed, so that nobody who can write here adds a key of their own to those that are published.
    public_jwk BYTEA NOT NULL,
    -- Sealed; null once the private half is destroyed.
    private_jwk BYTEA,
    published_at BIGINT NOT NULL,
    active_at BIGINT NOT NULL,
    retired_at BIGINT,
    removed_at BIGINT,
    PRIMARY KEY (set_name, kid)
);

-- Single tokens that were revoked, until they would have expired.
CREATE TABLE revoked_tokens (
    id BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revoked_tokens_expires_at ON revoked_tokens (expires_at);
