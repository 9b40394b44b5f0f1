-- Lists the columns of a table: how a generated one is made, and the domain whose values it takes.
SELECT
  a.attname::text AS name,
  CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS made_by,
  CASE WHEN ty.typtype = 'd' THEN format_type(a.atttypid, a.atttypmod) END AS domain
FROM pg_attribute AS a
JOIN pg_type AS ty ON ty.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = {relation}::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
