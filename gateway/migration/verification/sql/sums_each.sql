-- Rows whose weights do not sum to 1, and whether the migration wrote them.
SELECT
  {fund}::text AS fund, t.{key}::text AS key, u.key IS NOT NULL AS written,
  CASE WHEN sums.odd > 0 THEN 'a weight that is no number' ELSE sums.total::text END AS total
FROM {table} AS t
JOIN LATERAL (
  SELECT
    sum(
      CASE WHEN jsonb_typeof(item.element -> %(weight)s::text) = 'number'
        THEN (item.element ->> %(weight)s::text)::numeric END
    ) AS total,
    count(*) FILTER (WHERE jsonb_typeof(item.element -> %(weight)s::text) IS DISTINCT FROM 'number') AS odd
  FROM jsonb_array_elements(CASE WHEN jsonb_typeof(t.{column}) = 'array' THEN t.{column} END) AS item (element)
) AS sums ON sums.odd > 0 OR sums.total NOT BETWEEN 0.999999 AND 1.000001
LEFT JOIN {undo} AS u ON u.key = t.{key}
ORDER BY t.{key}
