-- Finds rows that others refer to by the value that will change.
SELECT r.{key}::text AS key, left(r.{was}::text, 200) AS value, count(*) OVER () AS rows
FROM ({rows}) AS r
WHERE r.{moved} AND EXISTS (SELECT FROM {child} AS c WHERE {match})
ORDER BY r.{key}
LIMIT 10
