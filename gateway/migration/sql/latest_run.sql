-- The run that counts: the last one, with what is still to do in it.
SELECT
  r.*,
  (SELECT count(*) FROM stage_migration_batches AS b WHERE b.run_id = r.run_id AND b.status <> 'done') AS open_batches
FROM stage_migration_runs AS r
ORDER BY r.run_id DESC
LIMIT 1
