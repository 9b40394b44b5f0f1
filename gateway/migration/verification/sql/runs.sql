-- The runs since the last one that was undone, and the vocabulary of each.
SELECT r.run_id, r.fingerprint, r.vocabulary
FROM stage_migration_runs AS r
WHERE r.run_id > (
  SELECT coalesce(max(undone.run_id), 0) FROM stage_migration_runs AS undone
  WHERE undone.status = 'undone' AND undone.run_id < (SELECT max(latest.run_id) FROM stage_migration_runs AS latest)
)
ORDER BY r.run_id
