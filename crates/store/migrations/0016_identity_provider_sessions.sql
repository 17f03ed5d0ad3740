-- One text for PostgreSQL and SQLite.

-- The session at the identity provider that a login was made in, where the login app named one.
ALTER TABLE login_sessions ADD COLUMN identity_provider_session_id TEXT;

-- There in a row that has the identity provider told, in place of a client: such a session is to end there. The key is
-- 'identity_provider:…' with the login session, and client_id is empty.
ALTER TABLE logouts ADD COLUMN identity_provider_session_id TEXT;
