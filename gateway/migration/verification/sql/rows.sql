-- Rows and NULLs now, and what the triggers counted since the start. One statement, so one snapshot.
SELECT
  (SELECT count(*) FROM {table}) AS rows,
  (SELECT count(*) FROM {table} AS t WHERE t.{column} IS NULL) AS nulls,
  (
    SELECT coalesce(sum(counted.change), 0)::bigint FROM stage_migration_counts AS counted
    WHERE counted.table_schema = %(schema)s AND counted.table_name = %(table_name)s
  ) AS change,
  (
    SELECT count(*) FROM stage_migration_seen AS s WHERE s.target_id = %(target)s AND s.name IS NULL
  ) AS nulls_seen,
  EXISTS (
    SELECT FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(table_name)s
  ) AS has_parent
