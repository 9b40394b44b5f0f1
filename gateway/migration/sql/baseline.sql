-- What the column held before the first batch. One snapshot: rows that came and went since the triggers stand are
-- counted by the same snapshot, so that rows at the start = rows now - what came + what went, whatever goes on.
UPDATE stage_migration_targets AS known
SET (rows_at_start, nulls_at_start, weights_off_at_start) = (
  SELECT
    count(*) - (
      SELECT coalesce(sum(c.change), 0) FROM stage_migration_counts AS c
      WHERE c.table_schema = %(schema)s AND c.table_name = %(table_name)s
    ),
    count(*) FILTER (WHERE t.{column} IS NULL),
    count(*) FILTER (WHERE {off})
  FROM {table} AS t
)
WHERE known.target_id = %(target)s AND known.rows_at_start IS NULL
