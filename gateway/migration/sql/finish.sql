-- Removes what all columns share. The triggers that count go with their function: the role that runs this need not own
-- the tables, as DROP TRIGGER wants it. Nothing else builds on the function, that was looked at before.
DROP FUNCTION IF EXISTS {home}.stage_migration_count() CASCADE;
DROP TABLE IF EXISTS {home}.stage_migration_batches, {home}.stage_migration_runs, {home}.stage_migration_targets,
  {home}.stage_migration_invalid, {home}.stage_migration_seen, {home}.stage_migration_counts,
  {home}.stage_migration_guard, {home}.stage_read_mode
