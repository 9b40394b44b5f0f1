-- The next batch that is not done. One run at a time holds the advisory lock, so no row lock is needed: a batch that is
-- 'running' here was left by a run that was killed, and its transaction is gone.
UPDATE stage_migration_batches AS b
SET status = 'running', attempts = b.attempts + 1, updated_at = clock_timestamp()
WHERE b.batch_id = (
  SELECT o.batch_id FROM stage_migration_batches AS o
  WHERE o.run_id = %(run)s AND o.status <> 'done' ORDER BY o.batch_id LIMIT 1
)
RETURNING b.batch_id, b.target_id, b.round, b.fund, b.joined, b.range_start, b.range_end, b.keys, b.row_count
