-- Values that the migration wrote and that are NULL now, but for those that an application emptied: the guard saw it.
SELECT t.{key}::text AS key FROM {table} AS t
WHERE t.{column} IS NULL AND t.{key} IN (SELECT u.key FROM {undo} AS u)
  AND NOT EXISTS (
    SELECT FROM stage_migration_seen AS s
    WHERE s.target_id = %(target)s AND s.key = t.{key}::text AND s.name IS NULL
  )
ORDER BY t.{key}
