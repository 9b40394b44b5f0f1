-- The columns that were ever migrated since the last finish.
SELECT target_id, identity, rows_at_start, nulls_at_start, weights_off_at_start
FROM stage_migration_targets ORDER BY target_id
