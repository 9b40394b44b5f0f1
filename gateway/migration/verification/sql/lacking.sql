-- What the other checks and the way back stand on, and is not there: triggers, the undo rows' key, and their policy.
SELECT 'trigger ' || wanted.name || ' is missing or disabled' AS what
FROM unnest(%(triggers)s::text[]) AS wanted (name)
WHERE NOT EXISTS (
  SELECT FROM pg_trigger AS g
  JOIN pg_class AS c ON c.oid = g.tgrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = %(table_name)s AND g.tgname = wanted.name AND g.tgenabled IN ('O', 'A')
)
UNION ALL
SELECT 'undo rows have no primary key'
WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = %(undo)s::regclass AND k.contype = 'p')
UNION ALL
SELECT 'row-level security of the undo rows is off, or has no policy'
WHERE NOT EXISTS (
  SELECT FROM pg_class AS c JOIN pg_policy AS p ON p.polrelid = c.oid
  WHERE c.oid = %(undo)s::regclass AND c.relrowsecurity AND p.polname = 'stage_migration_as_the_table'
)
