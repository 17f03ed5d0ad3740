-- SQLite only: tells processes that keep clients and keys in memory that one of these tables has changed. What else is
-- written, they need not notice.
CREATE TABLE cache_generation (generation INTEGER NOT NULL);

INSERT INTO cache_generation (generation) VALUES (0);

CREATE TRIGGER clients_after_insert AFTER INSERT ON clients BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER clients_after_update AFTER UPDATE ON clients BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER clients_after_delete AFTER DELETE ON clients BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER client_secrets_after_insert AFTER INSERT ON client_secrets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER client_secrets_after_update AFTER UPDATE ON client_secrets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER client_secrets_after_delete AFTER DELETE ON client_secrets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER key_sets_after_insert AFTER INSERT ON key_sets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER key_sets_after_update AFTER UPDATE ON key_sets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER key_sets_after_delete AFTER DELETE ON key_sets BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER keys_after_insert AFTER INSERT ON keys BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER keys_after_update AFTER UPDATE ON keys BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;

CREATE TRIGGER keys_after_delete AFTER DELETE ON keys BEGIN
    UPDATE cache_generation SET generation = generation + 1;
END;
