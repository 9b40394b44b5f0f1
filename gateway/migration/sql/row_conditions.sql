-- Lists the conditions that rows must fulfil once a column is written: CHECK constraints, a partition's bound.
-- A constraint of other columns alone holds already, unless it was never validated.
SELECT
  'check' AS kind,
  con.conname::text AS name,
  pg_get_constraintdef(con.oid) AS definition,
  pg_get_expr(con.conbin, con.conrelid) AS condition
FROM pg_constraint AS con
WHERE con.conrelid = {relation}::text::regclass AND con.contype = 'c'
  AND (
    NOT con.convalidated OR con.conkey IS NULL OR 0 = ANY (con.conkey)  -- 0 is the whole row
    OR EXISTS (
      SELECT FROM pg_attribute AS a
      WHERE a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey)
        AND (a.attname = %(column)s OR a.attgenerated <> '')
    )
  )
  AND coalesce((to_jsonb(con.*) ->> 'conenforced')::boolean, true)  -- NOT ENFORCED is there from PostgreSQL 18
UNION ALL
SELECT
  'partition',
  c.relname::text,
  pg_get_expr(c.relpartbound, c.oid),
  pg_get_partition_constraintdef(c.oid)
FROM pg_class AS c
WHERE c.oid = {relation}::text::regclass AND c.relispartition AND pg_get_partition_constraintdef(c.oid) IS NOT NULL
ORDER BY 1, 2
