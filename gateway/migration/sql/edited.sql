-- Undo rows whose value is no longer what the migration wrote: edited since, or gone with their row. Reads only.
SELECT u.key::text AS key, u.before, t.{column}::text AS now, t.{key} IS NULL AS gone
FROM {undo} AS u
LEFT JOIN {table} AS t ON t.{key} = u.key
WHERE t.{key} IS NULL OR hashtextextended(t.{column}::text COLLATE "C", 0) IS DISTINCT FROM u.after_hash
ORDER BY u.key
