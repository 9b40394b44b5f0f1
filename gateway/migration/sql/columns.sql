-- The columns of one table: their types, whether one alone is unique and never NULL, and the right to write it.
-- A domain counts as what it is made of. pg_catalog alone is read, no lock on the table.
SELECT
  a.attname::text AS name,
  coalesce(base.typname, own.typname)::text AS type,
  CASE
    WHEN own.typname = 'varchar' AND a.atttypmod > 4 THEN a.atttypmod - 4
    WHEN base.typname = 'varchar' AND own.typtypmod > 4 THEN own.typtypmod - 4
  END AS length,
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
JOIN pg_type AS own ON own.oid = a.atttypid
LEFT JOIN pg_type AS base ON base.oid = own.typbasetype AND own.typtype = 'd'
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
