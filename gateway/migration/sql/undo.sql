-- Puts back what stood there, to the letter, where the row still holds what the migration wrote, and takes the undo row
-- away, in one statement. A row that another transaction is changing is waited for, and the hash is asked again of what
-- that transaction leaves behind. What does not fit stays as it is, with its undo row.
-- ONLY: rows of a table that inherits from this one by now are not those that were migrated, though keys may be alike.
-- What was stored is compared by its bytes: a column's collation may take different texts for equal.
WITH restored AS (
  UPDATE ONLY {table} AS t
  SET {column} = u.before::{column_type}
  FROM {undo} AS u
  WHERE u.key = t.{key}
    AND u.key BETWEEN %(start)s::text::{key_type} AND %(end)s::text::{key_type}
    AND hashtextextended(t.{column}::text COLLATE "C", 0) = u.after_hash
  RETURNING u.key AS key, u.before AS before, t.{column}::text AS now
),
taken AS (
  DELETE FROM {undo} AS u USING restored AS r WHERE u.key = r.key RETURNING 1
)
SELECT
  (SELECT count(*) FROM restored) AS restored,
  (SELECT count(*) FROM restored AS r WHERE r.now COLLATE "C" IS DISTINCT FROM r.before) AS broken,
  (SELECT count(*) FROM taken) AS taken
