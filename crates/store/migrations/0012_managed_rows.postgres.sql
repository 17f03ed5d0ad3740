-- 1 where a row goes with the resource that owns it; 0 where it outlives that.
ALTER TABLE clients ADD COLUMN deleted_with_manager BIGINT NOT NULL DEFAULT 0;
ALTER TABLE key_sets ADD COLUMN deleted_with_manager BIGINT NOT NULL DEFAULT 0;

-- What is changed past Keywright, by hand, is noticed like what Keywright changes: the row gets another version, and
-- every process is told. Keywright's own writes give the row another version themselves, first of all in their
-- transaction, and send the same notification, of which PostgreSQL delivers one.

CREATE FUNCTION keywright_row_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER clients_version BEFORE UPDATE ON clients
    FOR EACH ROW EXECUTE FUNCTION keywright_row_version();
CREATE TRIGGER key_sets_version BEFORE UPDATE ON key_sets
    FOR EACH ROW EXECUTE FUNCTION keywright_row_version();

CREATE FUNCTION keywright_client_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keywright', 'client:' || COALESCE(NEW.id, OLD.id));
    RETURN NULL;
END $$;

CREATE TRIGGER clients_changed AFTER INSERT OR UPDATE OR DELETE ON clients
    FOR EACH ROW EXECUTE FUNCTION keywright_client_changed();

CREATE FUNCTION keywright_key_sets_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keywright', 'keys');
    RETURN NULL;
END $$;

CREATE TRIGGER key_sets_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON key_sets
    FOR EACH STATEMENT EXECUTE FUNCTION keywright_key_sets_changed();

-- A payload that nobody knows concerns everything.
CREATE FUNCTION keywright_clients_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keywright', 'clients');
    RETURN NULL;
END $$;

CREATE TRIGGER clients_emptied AFTER TRUNCATE ON clients
    FOR EACH STATEMENT EXECUTE FUNCTION keywright_clients_emptied();

-- A row that this transaction has written already has its new version.

CREATE FUNCTION keywright_client_secret_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE clients SET version = version + 1
        WHERE id = COALESCE(NEW.client_id, OLD.client_id) AND xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END $$;

CREATE TRIGGER client_secrets_changed AFTER INSERT OR UPDATE OR DELETE ON client_secrets
    FOR EACH ROW EXECUTE FUNCTION keywright_client_secret_changed();

CREATE FUNCTION keywright_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE key_sets SET version = version + 1
        WHERE name = COALESCE(NEW.set_name, OLD.set_name) AND xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END $$;

CREATE TRIGGER keys_changed AFTER INSERT OR UPDATE OR DELETE ON keys
    FOR EACH ROW EXECUTE FUNCTION keywright_key_changed();
