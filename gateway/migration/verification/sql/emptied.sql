-- Values that the migration wrote and that are NULL now, but for those that an application emptied: the guard saw it.
SELECT {key}::text AS key FROM {table}
WHERE {column} IS NULL AND {key} IN (SELECT stage_migration_undo.key FROM {undo} AS stage_migration_undo)
  AND NOT EXISTS (
    SELECT FROM stage_migration_seen AS s
    WHERE s.target_id = %(target)s AND s.key = {key}::text AND s.name IS NULL
  )
ORDER BY {key}
