-- The next batch that is not done. One run at a time holds the advisory lock, so no row lock is needed: a batch that is
-- 'running' here was left by a run that was killed, and its transaction is gone.
UPDATE stage_migration_batches
SET status = 'running', attempts = attempts + 1, updated_at = clock_timestamp()
WHERE batch_id = (
  SELECT batch_id FROM stage_migration_batches WHERE run_id = %(run)s AND status <> 'done' ORDER BY batch_id LIMIT 1
)
RETURNING batch_id, target_id, round, fund, range_start, range_end, keys, row_count
