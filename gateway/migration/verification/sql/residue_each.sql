WITH elements AS (
  SELECT {fund}::text AS fund, {key}::text AS key,
    CASE WHEN jsonb_typeof(element) = 'object' AND jsonb_typeof(element -> %(field)s::text) = 'string'
      THEN element ->> %(field)s::text END AS name
  FROM {table}, jsonb_array_elements(CASE WHEN jsonb_typeof({column}) = 'array' THEN {column} END) AS element
  UNION ALL
  SELECT {fund}::text, {key}::text, NULL FROM {table}
  WHERE {column} IS NOT NULL AND jsonb_typeof({column}) <> 'array'
)
SELECT fund, name AS value, count(*) AS rows, (array_agg(key))[1:5] AS keys
FROM elements
WHERE name IS NULL OR NOT (name COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
