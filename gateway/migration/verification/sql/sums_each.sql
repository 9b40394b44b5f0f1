SELECT {fund}::text AS fund, {key}::text AS key, CASE WHEN odd > 0 THEN 'a weight that is no number' ELSE total::text END AS total, stage_migration_undo.key IS NOT NULL AS written
FROM {table}
JOIN LATERAL (
  SELECT sum(
    CASE WHEN jsonb_typeof(element -> %(weight)s::text) = 'number' THEN (element ->> %(weight)s::text)::numeric END
  ) AS total,
  count(*) FILTER (WHERE jsonb_typeof(element -> %(weight)s::text) IS DISTINCT FROM 'number') AS odd
  FROM jsonb_array_elements(CASE WHEN jsonb_typeof({column}) = 'array' THEN {column} END) AS element
) AS sums ON odd > 0 OR total NOT BETWEEN 0.999999 AND 1.000001
LEFT JOIN {undo} AS stage_migration_undo ON stage_migration_undo.key = {key}
ORDER BY {key}
