-- Lists the columns of a table, and how a generated one is made.
SELECT
  a.attname::text AS name,
  CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS made_by
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = {relation}::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
