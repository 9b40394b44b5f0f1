-- Finds rows that a condition of the table will refuse: the first of them, and how many there are.
SELECT r.{key}::text AS key, left(r.{column}::text, 200) AS value, count(*) OVER () AS rows
FROM ({rows}) AS r
WHERE r.{moved} AND NOT ({condition})
ORDER BY r.{key}
LIMIT 10
