-- The columns that were ever migrated since the last finish.
SELECT known.target_id, known.identity, known.rows_at_start, known.nulls_at_start, known.weights_off_at_start
FROM stage_migration_targets AS known ORDER BY known.target_id
