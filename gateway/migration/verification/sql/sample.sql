-- Undo rows in an order that the seed decides, with what stands in the table now, where that is as it was written.
SELECT stage_migration_undo.key::text AS key, stage_migration_undo.before, {column}::text AS now
FROM {undo} AS stage_migration_undo JOIN {table} ON {key} = stage_migration_undo.key
WHERE hashtextextended({column}::text COLLATE "C", 0) = stage_migration_undo.after_hash
ORDER BY hashtextextended(stage_migration_undo.key::text COLLATE "C", %(seed)s), stage_migration_undo.key
LIMIT %(size)s
