-- 1 where a row goes with the resource that owns it; 0 where it outlives that.
ALTER TABLE clients ADD COLUMN deleted_with_manager BIGINT NOT NULL DEFAULT 0;
ALTER TABLE key_sets ADD COLUMN deleted_with_manager BIGINT NOT NULL DEFAULT 0;
