UPDATE stage_migration_batches
SET status = 'failed', last_error = %(error)s, updated_at = clock_timestamp()
WHERE batch_id = %(batch)s
