-- Counts the registration access tokens that a client was given (RFC 7592): the last one alone is valid.
ALTER TABLE clients ADD COLUMN registration_generation BIGINT NOT NULL DEFAULT 1;

-- A consent is revoked by its id.
CREATE INDEX consents_consent_request_id ON consents (consent_request_id);
