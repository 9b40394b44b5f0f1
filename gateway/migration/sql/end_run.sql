-- How a run came to its end; one that failed, or whose undo began, is to go on and has no end yet.
UPDATE stage_migration_runs AS r
SET status = %(status)s, last_error = %(error)s, waiting_for = NULL, paused = false,
  updated_at = clock_timestamp(), finished_at = CASE WHEN %(status)s IN ('done', 'undone') THEN clock_timestamp() END
WHERE r.run_id = %(run)s
