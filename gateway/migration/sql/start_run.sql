INSERT INTO stage_migration_runs (fingerprint, targets, snapshot, on_invalid)
VALUES (%(fingerprint)s, %(targets)s, %(snapshot)s, %(on_invalid)s)
RETURNING run_id
