-- Columns that were migrated and are no longer where they were, by their names. pg_catalog alone is read besides.
-- What was renamed still has the guard's triggers and is read by the view; what was dropped took both along.
SELECT
  known.target_id, concat_ws('.', known.identity ->> 'schema', known.identity ->> 'table', known.identity ->> 'column') AS place,
  NOT EXISTS (
    SELECT FROM pg_trigger AS g
    JOIN pg_proc AS p ON p.oid = g.tgfoid
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = {home_name} AND p.proname = 'stage_migration_guard_' || known.target_id
  ) AND NOT EXISTS (
    SELECT FROM pg_class AS v
    JOIN pg_namespace AS n ON n.oid = v.relnamespace
    WHERE n.nspname = known.identity ->> 'schema' AND v.relname = known.identity ->> 'view'
  ) AS dropped
FROM stage_migration_targets AS known
WHERE (
  SELECT count(*) FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = known.identity ->> 'schema' AND c.relname = known.identity ->> 'table'
    AND a.attname IN (known.identity ->> 'column', known.identity ->> 'key') AND NOT a.attisdropped
) < 2
ORDER BY known.target_id
