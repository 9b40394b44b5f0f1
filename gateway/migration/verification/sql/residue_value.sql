-- What is left in a text column that is not canonical, by fund.
SELECT {fund}::text AS fund, t.{column}::text AS value, count(*) AS rows, (array_agg(t.{key}::text))[1:5] AS keys
FROM {table} AS t
WHERE t.{column} IS NOT NULL AND NOT (t.{column} COLLATE "C" = ANY (%(canonical)s::text[]))
GROUP BY 1, 2 ORDER BY 1, 2
