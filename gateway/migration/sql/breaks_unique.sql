-- Finds rows that will be alike where they must differ, each group of them once.
WITH entry AS (
  SELECT r.{key} AS key, left(r.{column}::text, 200) AS value, r.{moved} AS moved, {entries}
  FROM ({rows}) AS r
  WHERE {predicate}
)
SELECT
  array_to_string((array_agg(e.key::text ORDER BY e.key))[1:5], ' and ') AS key,
  max(e.value) AS value,
  sum(count(*)) OVER ()::bigint AS rows
FROM entry AS e
WHERE {given}
GROUP BY {grouped}
HAVING count(*) > 1 AND bool_or(e.moved)
ORDER BY min(e.key::text)
LIMIT 10
