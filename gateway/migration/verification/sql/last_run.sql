SELECT run_id, status, fingerprint, last_error FROM stage_migration_runs ORDER BY run_id DESC LIMIT 1
