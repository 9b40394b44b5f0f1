-- A batch of an undo, done in the transaction of its data; round 0 tells it from a run's.
INSERT INTO stage_migration_batches AS b (
  run_id, target_id, round, range_start, range_end, row_count, status, attempts, updated, skipped_invalid, undo_rows,
  duration_ms
)
VALUES (
  %(run)s, %(target)s, 0, %(start)s, %(end)s, %(rows)s, 'done', 1, %(restored)s, 0, -%(restored)s::integer,
  %(duration_ms)s
)
RETURNING b.batch_id
