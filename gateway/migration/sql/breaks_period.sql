-- Finds rows whose period will not be covered by the periods of the rows they refer to (PostgreSQL 18, "PERIOD").
SELECT r.{key}::text AS key, left(r.{column}::text, 200) AS value, count(*) OVER () AS rows
FROM ({rows}) AS r
WHERE r.{moved} AND {given} AND NOT coalesce(
  (SELECT range_agg(p.{covering}) FROM {parent} AS p WHERE {match} AND p.{covering} && r.{period}) @> r.{period},
  false
)
ORDER BY r.{key}
LIMIT 10
