-- Values that the migration wrote and that are NULL now.
SELECT {key}::text AS key FROM {table}
WHERE {column} IS NULL AND {key} IN (SELECT u.key FROM {undo} AS u)
ORDER BY {key}
