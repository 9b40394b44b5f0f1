WITH members AS (
  SELECT {fund}::text AS fund, {key}::text AS key, name
  FROM {table}, jsonb_each(CASE WHEN jsonb_typeof({column}) = 'object' THEN {column} END) AS member (name, weight)
  UNION ALL
  SELECT {fund}::text, {key}::text, NULL FROM {table}
  WHERE {column} IS NOT NULL AND jsonb_typeof({column}) <> 'object'
)
SELECT fund, name AS value, count(*) AS rows, (array_agg(key))[1:5] AS keys
FROM members
WHERE name IS NULL OR NOT (name COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
