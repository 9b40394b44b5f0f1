-- The last run and how it ended.
SELECT r.run_id, r.status, r.fingerprint, r.last_error FROM stage_migration_runs AS r ORDER BY r.run_id DESC LIMIT 1
