-- What is left in objects that is not canonical, by fund; NULL is what is of the wrong type.
WITH found AS (
  SELECT {fund}::text AS fund, t.{key}::text AS key, member.name
  FROM {table} AS t
  CROSS JOIN jsonb_each(CASE WHEN jsonb_typeof(t.{column}) = 'object' THEN t.{column} END) AS member (name, weight)
  UNION ALL
  SELECT {fund}::text, t.{key}::text, NULL FROM {table} AS t
  WHERE t.{column} IS NOT NULL AND jsonb_typeof(t.{column}) <> 'object'
)
SELECT f.fund, f.name AS value, count(*) AS rows, (array_agg(f.key))[1:5] AS keys
FROM found AS f
WHERE f.name IS NULL OR NOT (f.name COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
