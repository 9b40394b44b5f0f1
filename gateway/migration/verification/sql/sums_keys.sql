-- Rows whose weights do not sum to 1, and whether the migration wrote them.
SELECT
  {fund}::text AS fund, t.{key}::text AS key, u.key IS NOT NULL AS written,
  CASE WHEN sums.odd > 0 THEN 'a weight that is no number' ELSE sums.total::text END AS total
FROM {table} AS t
JOIN LATERAL (
  SELECT
    sum(CASE WHEN jsonb_typeof(member.weight) = 'number' THEN (member.weight #>> '{{}}')::numeric END) AS total,
    count(*) FILTER (WHERE jsonb_typeof(member.weight) IS DISTINCT FROM 'number') AS odd
  FROM jsonb_each(CASE WHEN jsonb_typeof(t.{column}) = 'object' THEN t.{column} END) AS member (name, weight)
) AS sums ON sums.odd > 0 OR sums.total NOT BETWEEN 0.999999 AND 1.000001
LEFT JOIN {undo} AS u ON u.key = t.{key}
ORDER BY t.{key}
