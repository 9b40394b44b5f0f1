-- Columns of a table that the database makes from one of its others.
SELECT made.attname::text AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS source ON source.attrelid = c.oid
JOIN pg_depend AS d
  ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = source.attnum
  AND d.classid = 'pg_attrdef'::regclass
JOIN pg_attrdef AS def ON def.oid = d.objid
JOIN pg_attribute AS made ON made.attrelid = c.oid AND made.attnum = def.adnum
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND source.attname = %(column)s AND made.attgenerated <> ''
ORDER BY made.attnum
