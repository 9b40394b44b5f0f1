-- Undo rows in an order that the seed decides, with what stands in the table now, where that is as it was written, and
-- the run that wrote it.
SELECT u.key::text AS key, u.before, t.{column}::text AS now, b.run_id
FROM {undo} AS u
JOIN {table} AS t ON t.{key} = u.key
JOIN stage_migration_batches AS b ON b.batch_id = u.batch_id
WHERE hashtextextended(t.{column}::text COLLATE "C", 0) = u.after_hash
ORDER BY hashtextextended(u.key::text COLLATE "C", %(seed)s), u.key
LIMIT %(size)s
