-- Begins a run and returns its number.
INSERT INTO stage_migration_runs AS r (fingerprint, vocabulary, targets, snapshot, on_invalid)
VALUES (%(fingerprint)s, %(vocabulary)s, %(targets)s, %(snapshot)s, %(on_invalid)s)
RETURNING r.run_id
