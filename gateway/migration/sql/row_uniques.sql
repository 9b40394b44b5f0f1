-- Lists the unique indexes and exclusion constraints that a column is part of, itself, in an expression or a condition.
SELECT
  coalesce(con.conname, x.relname)::text AS name,
  con.oid IS NOT NULL AS is_constraint,
  coalesce(pg_get_constraintdef(con.oid), pg_get_indexdef(i.indexrelid)) AS definition,
  ARRAY(
    SELECT pg_get_indexdef(i.indexrelid, part.number, false) FROM generate_series(1, i.indnkeyatts) AS part (number)
    ORDER BY part.number
  ) AS entries,
  pg_get_expr(i.indpred, i.indrelid) AS predicate,
  i.indnullsnotdistinct AS nulls_alike,
  ARRAY(
    SELECT format('OPERATOR(%%I.%%s)', opn.nspname, op.oprname)
    FROM unnest(con.conexclop) WITH ORDINALITY AS excluded (operator, place)
    JOIN pg_operator AS op ON op.oid = excluded.operator
    JOIN pg_namespace AS opn ON opn.oid = op.oprnamespace
    ORDER BY excluded.place
  ) AS operators
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
LEFT JOIN pg_constraint AS con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
CROSS JOIN (
  SELECT array_agg(a.attnum) AS numbers FROM pg_attribute AS a
  WHERE a.attrelid = {relation}::text::regclass AND (a.attname = %(column)s OR a.attgenerated <> '')
) AS moving
WHERE i.indrelid = {relation}::text::regclass
  AND (i.indisunique OR i.indisexclusion) AND i.indislive
  AND (
    EXISTS (SELECT FROM unnest(i.indkey) AS part (number) WHERE part.number = ANY (moving.numbers))
    OR EXISTS (
      SELECT FROM pg_depend AS dep
      WHERE dep.classid = 'pg_class'::regclass AND dep.objid = i.indexrelid
        AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = i.indrelid
        AND dep.refobjsubid = ANY (moving.numbers)
    )
  )
ORDER BY x.relname
