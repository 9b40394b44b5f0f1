-- Columns that were migrated and are no longer where they were, by their names. pg_catalog alone is read besides.
SELECT concat_ws('.', known.identity ->> 'schema', known.identity ->> 'table', known.identity ->> 'column') AS place
FROM stage_migration_targets AS known
WHERE (
  SELECT count(*) FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = known.identity ->> 'schema' AND c.relname = known.identity ->> 'table'
    AND a.attname IN (known.identity ->> 'column', known.identity ->> 'key') AND NOT a.attisdropped
) < 2
ORDER BY known.target_id
