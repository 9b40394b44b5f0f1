-- Lists the enforced foreign keys a column is part of, those from its table (outward) and those to it that do not cascade.
-- An operator is written with its schema; the last pair of columns of a temporal one are the periods.
SELECT
  con.conname::text AS name,
  pg_get_constraintdef(con.oid) AS definition,
  con.conrelid = {relation}::text::regclass AND con.conkey && moving.numbers AS outward,
  cn.nspname::text AS child_schema, c.relname::text AS child,
  pn.nspname::text AS parent_schema, p.relname::text AS parent,
  coalesce((to_jsonb(con.*) ->> 'conperiod')::boolean, false) AS temporal,
  ARRAY(
    SELECT ARRAY[
      ca.attname::text, pa.attname::text, format('OPERATOR(%%I.%%s)', opn.nspname, op.oprname)
    ]
    FROM unnest(con.conkey, con.confkey, con.conpfeqop) WITH ORDINALITY AS pair (child, parent, operator, place)
    JOIN pg_attribute AS ca ON ca.attrelid = con.conrelid AND ca.attnum = pair.child
    JOIN pg_attribute AS pa ON pa.attrelid = con.confrelid AND pa.attnum = pair.parent
    JOIN pg_operator AS op ON op.oid = pair.operator
    JOIN pg_namespace AS opn ON opn.oid = op.oprnamespace
    ORDER BY pair.place
  ) AS pairs
FROM pg_constraint AS con
JOIN pg_class AS c ON c.oid = con.conrelid
JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = con.confrelid
JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
CROSS JOIN (
  SELECT array_agg(a.attnum) AS numbers FROM pg_attribute AS a
  WHERE a.attrelid = {relation}::text::regclass AND (a.attname = %(column)s OR a.attgenerated <> '')
) AS moving
WHERE con.contype = 'f'
  AND coalesce((to_jsonb(con.*) ->> 'conenforced')::boolean, true)
  AND NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgconstraint = con.oid AND g.tgenabled IN ('D', 'R'))
  AND (
    (con.conrelid = {relation}::text::regclass AND con.conkey && moving.numbers)
    OR (
      con.confrelid = {relation}::text::regclass AND con.confkey && moving.numbers AND con.confupdtype <> 'c'
      AND con.conparentid = 0
    )
  )
ORDER BY con.conname
