-- Every table with the name of the read mode, and what this role may do with it. pg_catalog alone is read: a name in a
-- schema that this role may not use would not be found through the search path.
SELECT
  n.nspname::text AS schema,
  obj_description(c.oid, 'pg_class') AS comment,
  has_schema_privilege(n.oid, 'USAGE') AS may_use,
  has_any_column_privilege(c.oid, 'SELECT') AND (
    SELECT bool_and(has_column_privilege(c.oid, a.attnum, 'UPDATE')) FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attname IN ('mode', 'changed_at', 'changed_by')
  ) AS may_switch,
  format('%I.%I', n.nspname, c.relname) AS quoted,
  quote_ident(n.nspname) AS quoted_schema,
  quote_ident(current_user) AS role
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = 'stage_read_mode' AND c.relkind = 'r'
