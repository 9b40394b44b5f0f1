-- A batch that could not be done, and why; its data was rolled back.
UPDATE stage_migration_batches AS b
SET status = 'failed', last_error = %(error)s, updated_at = clock_timestamp()
WHERE b.batch_id = %(batch)s
