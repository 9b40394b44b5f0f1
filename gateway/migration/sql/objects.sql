-- What has the name of an object of ours, with the comment that tells whose it is: in the schema of the migration, under
-- the names of its views, and among the triggers of the tables. A trigger has its function's. pg_catalog alone is read.
WITH own AS (
  SELECT n.oid AS schema, n.nspname AS name, %(own)s::text AS names FROM pg_namespace AS n WHERE n.nspname = {home_name}
),
kinds AS (
  SELECT k.letter, k.kind
  FROM (VALUES ('r', 'table'), ('p', 'table'), ('i', 'index'), ('S', 'sequence'), ('v', 'view')) AS k (letter, kind)
)
SELECT
  'view' AS used_as, coalesce(k.kind, 'relation') AS kind, format('%%I.%%I', n.nspname, c.relname) AS place,
  obj_description(c.oid, 'pg_class') AS comment
FROM unnest(%(schemas)s::text[], %(views)s::text[]) AS wanted (schema, name)
JOIN pg_namespace AS n ON n.nspname = wanted.schema
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
LEFT JOIN kinds AS k ON k.letter = c.relkind
UNION
SELECT 'own', coalesce(k.kind, 'relation'), format('%%I.%%I', own.name, c.relname), obj_description(c.oid, 'pg_class')
FROM own JOIN pg_class AS c ON c.relnamespace = own.schema AND c.relname ~ own.names
LEFT JOIN kinds AS k ON k.letter = c.relkind
UNION
SELECT 'own', 'type', format('%%I.%%I', own.name, y.typname), obj_description(y.oid, 'pg_type')
FROM own JOIN pg_type AS y ON y.typnamespace = own.schema AND y.typname ~ own.names
WHERE y.typrelid = 0
UNION
SELECT 'own', 'function', format('%%I.%%I()', own.name, p.proname), obj_description(p.oid, 'pg_proc')
FROM own JOIN pg_proc AS p ON p.pronamespace = own.schema
WHERE p.pronargs = 0 AND p.proname ~ '^stage_migration_(count|guard_[0-9]+)$'
UNION
SELECT 'trigger', 'trigger', format('%%I on %%I.%%I', g.tgname, n.nspname, c.relname), obj_description(g.tgfoid, 'pg_proc')
FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS wanted (schema, name)
JOIN pg_namespace AS n ON n.nspname = wanted.schema
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_trigger AS g ON g.tgrelid = c.oid
WHERE NOT g.tgisinternal
  AND g.tgname ~ '^stage_migration_(count_(insert|delete|truncate)|guard_[0-9]+_(insert|update))$'
ORDER BY 1, 2, 3
