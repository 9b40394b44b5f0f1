-- Batches of the last run that are not done, or are called done without what only a batch that was done has.
SELECT batch_id, status, range_start, range_end, identity ->> 'table' AS table_name, identity ->> 'column' AS column_name
FROM stage_migration_batches
JOIN stage_migration_targets USING (target_id)
WHERE run_id = %(run)s
  AND (status <> 'done' OR updated IS NULL OR undo_rows IS NULL OR duration_ms IS NULL OR attempts = 0 OR keys IS NOT NULL)
ORDER BY batch_id
