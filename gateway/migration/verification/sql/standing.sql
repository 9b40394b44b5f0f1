-- How undo rows stand to the data: still as written, edited since, or without a row.
SELECT
  count(*) FILTER (WHERE hashtextextended(t.{column}::text COLLATE "C", 0) = u.after_hash) AS as_written,
  count(*) FILTER (
    WHERE t.{key} IS NOT NULL AND hashtextextended(t.{column}::text COLLATE "C", 0) IS DISTINCT FROM u.after_hash
  ) AS edited,
  count(*) FILTER (WHERE t.{key} IS NULL) AS gone
FROM {undo} AS u LEFT JOIN {table} AS t ON t.{key} = u.key
