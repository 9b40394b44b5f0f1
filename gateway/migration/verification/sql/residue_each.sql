-- What is left in arrays that is not canonical, by fund; NULL is what is of the wrong type.
WITH found AS (
  SELECT {fund}::text AS fund, t.{key}::text AS key,
    CASE WHEN jsonb_typeof(item.element) = 'object' AND jsonb_typeof(item.element -> %(field)s::text) = 'string'
      THEN item.element ->> %(field)s::text END AS name
  FROM {table} AS t
  CROSS JOIN jsonb_array_elements(CASE WHEN jsonb_typeof(t.{column}) = 'array' THEN t.{column} END) AS item (element)
  UNION ALL
  SELECT {fund}::text, t.{key}::text, NULL FROM {table} AS t
  WHERE t.{column} IS NOT NULL AND jsonb_typeof(t.{column}) <> 'array'
)
SELECT f.fund, f.name AS value, count(*) AS rows, (array_agg(f.key))[1:5] AS keys
FROM found AS f
WHERE f.name IS NULL OR NOT (f.name COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
