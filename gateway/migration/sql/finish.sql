-- Removes what all columns share: the triggers that count go with their function.
DROP FUNCTION IF EXISTS stage_migration_count CASCADE;
DROP TABLE IF EXISTS stage_migration_batches, stage_migration_runs, stage_migration_targets, stage_migration_invalid,
  stage_migration_seen, stage_migration_counts, stage_migration_guard, stage_read_mode
