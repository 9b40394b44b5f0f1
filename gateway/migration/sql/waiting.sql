-- What a run waits for, NULL when it goes on.
UPDATE stage_migration_runs AS r SET waiting_for = %(reason)s, updated_at = clock_timestamp()
WHERE r.run_id = %(run)s
