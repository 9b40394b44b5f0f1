-- Asks the run under way to stop between two batches, or to go on. It looks before each batch.
UPDATE stage_migration_runs SET paused = %(paused)s, updated_at = clock_timestamp()
WHERE run_id = (SELECT max(run_id) FROM stage_migration_runs) AND status = 'running'
