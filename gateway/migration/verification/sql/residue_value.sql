SELECT {fund}::text AS fund, {column}::text AS value, count(*) AS rows, (array_agg({key}::text))[1:5] AS keys
FROM {table}
WHERE {column} IS NOT NULL AND NOT ({column} COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
