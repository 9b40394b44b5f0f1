-- The columns that were migrated, what they held at the start, and whether they were dropped since: neither the table
-- with this column nor anything that stood on it is there.
SELECT
  known.target_id, known.identity, known.rows_at_start, known.nulls_at_start, known.weights_off_at_start,
  NOT EXISTS (
    SELECT FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = known.identity ->> 'schema' AND c.relname = known.identity ->> 'table'
      AND a.attname = known.identity ->> 'column' AND NOT a.attisdropped
  ) AS dropped
FROM stage_migration_targets AS known ORDER BY known.target_id
