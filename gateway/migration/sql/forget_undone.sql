-- A run after an undo begins anew: what the undo left alone belongs to the application and is no longer ours to restore.
WITH forgotten AS (
  DELETE FROM {undo} AS u RETURNING u.key AS key
)
INSERT INTO stage_migration_batches (
  run_id, target_id, round, range_start, range_end, row_count, status, attempts, updated, skipped_invalid, undo_rows,
  duration_ms
)
SELECT
  %(run)s, %(target)s, 0, min(f.key::text), max(f.key::text), count(*), 'done', 1, 0, 0, -count(*), 0
FROM forgotten AS f
HAVING count(*) > 0
