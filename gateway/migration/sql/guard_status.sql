-- The guard's mode, and what it saw come in since the migration began.
SELECT
  (SELECT g.mode FROM stage_migration_guard AS g) AS mode,
  (SELECT count(*) FROM stage_migration_seen AS s WHERE s.name IS NOT NULL) AS seen,
  (SELECT max(s.seen_at) FROM stage_migration_seen AS s WHERE s.name IS NOT NULL) AS last_seen
