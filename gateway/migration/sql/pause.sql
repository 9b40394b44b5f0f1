-- Asks the run under way to stop between two batches, or to go on. It looks before each batch.
UPDATE stage_migration_runs AS r SET paused = %(paused)s, updated_at = clock_timestamp()
WHERE r.run_id = (SELECT max(l.run_id) FROM stage_migration_runs AS l) AND r.status = 'running'
