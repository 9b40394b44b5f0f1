-- What stands under a view's name: nothing, something of somebody else's, or ours, and made for which columns.
SELECT c.relkind::text AS kind, obj_description(c.oid, 'pg_class') AS comment
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(view)s
