-- The guard's mode, and what it saw come in since the migration began.
SELECT
  (SELECT mode FROM stage_migration_guard) AS mode,
  (SELECT count(*) FROM stage_migration_seen WHERE name IS NOT NULL) AS seen,
  (SELECT max(seen_at) FROM stage_migration_seen WHERE name IS NOT NULL) AS last_seen
