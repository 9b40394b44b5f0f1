-- A run goes on: whatever was under way when it was killed did not commit.
UPDATE stage_migration_runs AS r
SET status = 'running', paused = false, waiting_for = NULL, last_error = NULL, on_invalid = %(on_invalid)s,
  updated_at = clock_timestamp()
WHERE r.run_id = %(run)s
