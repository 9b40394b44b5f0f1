-- A value that was left as it is, and why.
INSERT INTO stage_migration_invalid (run_id, target_id, key, value, reason)
VALUES (%(run)s, %(target)s, %(key)s, %(value)s, %(reason)s)
