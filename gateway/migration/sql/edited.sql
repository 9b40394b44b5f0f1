-- Undo rows that are left after an undo: their value was edited since, is gone with its row, or is as the migration
-- wrote it all the same, because a trigger let nothing be restored. Reads only.
SELECT u.key::text AS key, u.before, t.{column}::text AS now, t.{key} IS NULL AS gone,
  coalesce(hashtextextended(t.{column}::text COLLATE "C", 0) = u.after_hash, false) AS kept
FROM {undo} AS u
LEFT JOIN ONLY {table} AS t ON t.{key} = u.key
ORDER BY u.key
