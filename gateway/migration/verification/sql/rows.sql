-- Rows and NULLs now, and what the triggers counted since the start. One statement, so one snapshot.
SELECT
  (SELECT count(*) FROM {table}) AS rows,
  (SELECT count(*) FROM {table} WHERE {column} IS NULL) AS nulls,
  (
    SELECT coalesce(sum(change), 0)::bigint FROM stage_migration_counts
    WHERE table_schema = %(schema)s AND table_name = %(table_name)s
  ) AS change,
  (
    SELECT count(*) FROM stage_migration_seen WHERE target_id = %(target)s AND name IS NULL
  ) AS nulls_seen,
  EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(table_name)s AND c.relispartition
  ) AS is_partition
