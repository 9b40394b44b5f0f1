-- The columns of one table: their types, whether one alone is unique and never NULL, and the right to write it.
-- A domain counts as what it is made of, and that as what it is made of. pg_catalog alone is read, no lock on the table.
SELECT
  a.attname::text AS name,
  base.typname::text AS type,
  CASE WHEN base.typname = 'varchar' AND base.modifier > 4 THEN base.modifier - 4 END AS length,
  a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
  has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_write,
  EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
      AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND a.attnotnull
  ) AND NOT EXISTS (  -- from PostgreSQL 18 NOT NULL may be NOT VALID, with NULLs in the rows from before
    SELECT FROM pg_constraint AS n
    WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum] AND NOT n.convalidated
  ) AS is_key
FROM pg_attribute AS a
CROSS JOIN LATERAL (
  WITH RECURSIVE made_of AS (
    SELECT y.typname, y.typtype, y.typbasetype, y.typtypmod, a.atttypmod AS modifier
    FROM pg_type AS y
    WHERE y.oid = a.atttypid
    UNION ALL
    SELECT
      y.typname, y.typtype, y.typbasetype, y.typtypmod,
      CASE WHEN m.typtypmod >= 0 THEN m.typtypmod ELSE m.modifier END
    FROM made_of AS m
    JOIN pg_type AS y ON y.oid = m.typbasetype
    WHERE m.typtype = 'd'
  )
  SELECT m.typname, m.modifier FROM made_of AS m WHERE m.typtype <> 'd'
) AS base
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
