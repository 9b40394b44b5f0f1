-- Undo rows that are there, and that batches say they left.
SELECT
  (SELECT count(*) FROM {undo}) AS there,
  (
    SELECT coalesce(sum(undo_rows), 0)::bigint FROM stage_migration_batches WHERE target_id = %(target)s AND status = 'done'
  ) AS left_by_batches
