-- In the transaction of the data: either all of it is there, or the batch is to be done again.
UPDATE stage_migration_batches AS b
SET status = 'done', updated = %(updated)s, skipped_invalid = %(skipped)s, undo_rows = %(undo_rows)s,
  duration_ms = %(duration_ms)s, keys = NULL, last_error = NULL, updated_at = clock_timestamp()
WHERE b.batch_id = %(batch)s
