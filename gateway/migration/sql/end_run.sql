UPDATE stage_migration_runs
SET status = %(status)s, last_error = %(error)s, waiting_for = NULL, paused = false,
  updated_at = clock_timestamp(), finished_at = CASE WHEN %(status)s <> 'failed' THEN clock_timestamp() END
WHERE run_id = %(run)s
