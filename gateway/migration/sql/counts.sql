-- How far a run is.
SELECT
  coalesce(sum(row_count), 0)::bigint AS rows,
  coalesce(sum(row_count) FILTER (WHERE status = 'done'), 0)::bigint AS rows_done,
  coalesce(sum(updated), 0)::bigint AS updated,
  count(*) FILTER (WHERE status = 'pending') AS pending,
  count(*) FILTER (WHERE status = 'running') AS running,
  count(*) FILTER (WHERE status = 'done') AS done,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  coalesce(max(round), 0) AS round,
  (SELECT count(DISTINCT (target_id, key)) FROM stage_migration_invalid WHERE run_id = %(run)s) AS invalid_rows
FROM stage_migration_batches
WHERE run_id = %(run)s AND round > 0
