-- Finds rows that will stand in another row's way by an exclusion constraint.
WITH entry AS (
  SELECT r.{key} AS key, left(r.{column}::text, 200) AS value, r.{moved} AS moved, {entries}
  FROM ({rows}) AS r
  WHERE {predicate}
)
SELECT e.key::text AS key, e.value, count(*) OVER () AS rows
FROM entry AS e
WHERE e.moved AND EXISTS (SELECT FROM entry AS o WHERE o.key <> e.key AND {match})
ORDER BY e.key
LIMIT 10
