-- Columns that were migrated and are no longer where they were, by their names. pg_catalog alone is read besides.
SELECT concat_ws('.', t.identity ->> 'schema', t.identity ->> 'table', t.identity ->> 'column') AS place
FROM stage_migration_targets AS t
WHERE (
  SELECT count(*) FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = t.identity ->> 'schema' AND c.relname = t.identity ->> 'table'
    AND a.attname IN (t.identity ->> 'column', t.identity ->> 'key') AND NOT a.attisdropped
) < 2
ORDER BY t.target_id
