-- Undo rows in an order that the seed decides, with what stands in the table now, where that is as it was written.
SELECT u.key::text AS key, u.before, t.{column}::text AS now
FROM {undo} AS u JOIN {table} AS t ON t.{key} = u.key
WHERE hashtextextended(t.{column}::text COLLATE "C", 0) = u.after_hash
ORDER BY hashtextextended(u.key::text COLLATE "C", %(seed)s), u.key
LIMIT %(size)s
