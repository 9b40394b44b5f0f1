-- Undo rows that are there, and that batches say they left.
SELECT
  (SELECT count(*) FROM {undo}) AS there,
  (
    SELECT coalesce(sum(b.undo_rows), 0)::bigint FROM stage_migration_batches AS b
    WHERE b.target_id = %(target)s AND b.status = 'done'
  ) AS left_by_batches
