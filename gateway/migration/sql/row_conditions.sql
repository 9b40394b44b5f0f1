-- Lists the conditions that rows must fulfil once a column is written: CHECK constraints, those of domains, a partition's
-- bound. What a domain's calls VALUE is a column of that name in a query of its own, before any that the table has.
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
  'domain',
  con.conname::text,
  format_type(con.contypid, NULL),
  format(
    '(SELECT %%s FROM (SELECT %%I::%%s AS value) AS given)',
    pg_get_expr(con.conbin, 0), a.attname, format_type(base.typbasetype, base.typtypmod)
  )
FROM pg_attribute AS a
CROSS JOIN LATERAL (
  WITH RECURSIVE made_of AS (
    SELECT y.oid, y.typbasetype, y.typtypmod FROM pg_type AS y WHERE y.oid = a.atttypid AND y.typtype = 'd'
    UNION ALL
    SELECT y.oid, y.typbasetype, y.typtypmod
    FROM made_of AS m
    JOIN pg_type AS y ON y.oid = m.typbasetype AND y.typtype = 'd'
  )
  SELECT m.oid, m.typbasetype, m.typtypmod FROM made_of AS m
) AS base
JOIN pg_constraint AS con ON con.contypid = base.oid AND con.contype = 'c'
WHERE a.attrelid = {relation}::text::regclass AND (a.attname = %(column)s OR a.attgenerated <> '')
  AND NOT a.attisdropped
UNION ALL
SELECT
  'partition',
  c.relname::text,
  pg_get_expr(c.relpartbound, c.oid),
  pg_get_partition_constraintdef(c.oid)
FROM pg_class AS c
WHERE c.oid = {relation}::text::regclass AND c.relispartition AND pg_get_partition_constraintdef(c.oid) IS NOT NULL
ORDER BY 1, 2
