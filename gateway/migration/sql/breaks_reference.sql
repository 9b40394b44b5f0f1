-- Finds rows that will refer to none in the table they refer to.
SELECT r.{key}::text AS key, left(r.{column}::text, 200) AS value, count(*) OVER () AS rows
FROM ({rows}) AS r
WHERE r.{moved} AND {given} AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {match})
ORDER BY r.{key}
LIMIT 10
