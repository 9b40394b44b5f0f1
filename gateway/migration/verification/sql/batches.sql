-- Batches of the last run that are not done, or are called done without what only a batch that was done has.
SELECT
  b.batch_id, b.status, b.range_start, b.range_end,
  concat_ws('.', known.identity ->> 'schema', known.identity ->> 'table') AS table_name, known.identity ->> 'column' AS column_name
FROM stage_migration_batches AS b
JOIN stage_migration_targets AS known ON known.target_id = b.target_id
WHERE b.run_id = %(run)s AND (
  b.status <> 'done' OR b.updated IS NULL OR b.undo_rows IS NULL OR b.duration_ms IS NULL OR b.attempts = 0
  OR b.keys IS NOT NULL
)
ORDER BY b.batch_id
