-- What has the name of a column's index: whether it is a whole index, its comment, and whether it is one that was begun
-- on this table and may have broken off before it got its comment.
SELECT
  coalesce(i.indisvalid, false) AS valid, obj_description(c.oid, 'pg_class') AS comment,
  coalesce(known.index_begun AND of.relname = %(table)s, false) AS begun
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
LEFT JOIN pg_class AS of ON of.oid = i.indrelid
LEFT JOIN stage_migration_targets AS known ON known.target_id = %(target)s
WHERE n.nspname = %(schema)s AND c.relname = %(index)s
