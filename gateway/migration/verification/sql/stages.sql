-- How often each name stands in a column, by fund: as it was before the migration wrote, and now.
WITH image AS (
  SELECT
    {fund}::text AS fund,
    t.{column} AS now,
    CASE WHEN u.key IS NULL THEN t.{column} ELSE u.before::{column_type} END AS before
  FROM {table} AS t
  LEFT JOIN {undo} AS u ON u.key = t.{key} AND u.after_hash = hashtextextended(t.{column}::text COLLATE "C", 0)
)
SELECT
  i.fund, found.name COLLATE "C" AS name,
  count(*) FILTER (WHERE found.was) AS before,
  count(*) FILTER (WHERE NOT found.was) AS after
FROM image AS i
CROSS JOIN LATERAL (
  SELECT earlier.name, true AS was FROM ({names_before}) AS earlier
  UNION ALL
  SELECT later.name, false FROM ({names_now}) AS later
) AS found
WHERE found.name IS NOT NULL
GROUP BY 1, 2
