-- 1 where a client registered itself, or chose addresses that are registered of it: it is kept out of private networks.
ALTER TABLE clients ADD COLUMN self_registered BIGINT NOT NULL DEFAULT 0;

-- An issuer's keys are read in the order of their ids, part by part.
DROP INDEX trusted_issuers_issuer;
CREATE INDEX trusted_issuers_issuer ON trusted_issuers (issuer, id);
