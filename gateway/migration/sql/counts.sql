-- How far a run is.
SELECT
  coalesce(sum(b.row_count), 0)::bigint AS rows,
  coalesce(sum(b.row_count) FILTER (WHERE b.status = 'done'), 0)::bigint AS rows_done,
  coalesce(sum(b.updated), 0)::bigint AS updated,
  count(*) FILTER (WHERE b.status = 'pending') AS pending,
  count(*) FILTER (WHERE b.status = 'running') AS running,
  count(*) FILTER (WHERE b.status = 'done') AS done,
  count(*) FILTER (WHERE b.status = 'failed') AS failed,
  coalesce(max(b.round), 0) AS round,
  (SELECT coalesce(sum(u.updated), 0)::bigint FROM stage_migration_batches AS u WHERE u.run_id = %(run)s AND u.round = 0)
    AS restored,
  (SELECT count(DISTINCT (i.target_id, i.key)) FROM stage_migration_invalid AS i WHERE i.run_id = %(run)s)
    AS invalid_rows
FROM stage_migration_batches AS b
WHERE b.run_id = %(run)s AND b.round > 0
