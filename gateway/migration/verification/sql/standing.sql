-- How undo rows stand to the data: still as written, edited since, or without a row.
SELECT
  count(*) FILTER (WHERE hashtextextended({column}::text COLLATE "C", 0) = after_hash) AS as_written,
  count(*) FILTER (
    WHERE {key} IS NOT NULL AND hashtextextended({column}::text COLLATE "C", 0) IS DISTINCT FROM after_hash
  ) AS edited,
  count(*) FILTER (WHERE {key} IS NULL) AS gone
FROM {undo} AS stage_migration_undo LEFT JOIN {table} ON {key} = stage_migration_undo.key
