SELECT {fund}::text AS fund, {key}::text AS key, total::text AS total, u.key IS NOT NULL AS written
FROM {table}
JOIN LATERAL (
  SELECT sum(CASE WHEN jsonb_typeof(weight) = 'number' THEN (weight #>> '{{}}')::numeric END) AS total
  FROM jsonb_each(CASE WHEN jsonb_typeof({column}) = 'object' THEN {column} END) AS member (name, weight)
) AS sums ON total NOT BETWEEN 0.999999 AND 1.000001
LEFT JOIN {undo} AS u ON u.key = {key}
ORDER BY {key}
