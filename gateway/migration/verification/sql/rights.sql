-- Of these tables those that this role may not read, or of which policies hide rows from it.
SELECT
  format('%%I.%%I', n.nspname, c.relname) AS quoted,
  quote_ident(n.nspname) AS quoted_schema,
  quote_ident(current_user) AS role,
  has_schema_privilege(n.oid, 'USAGE') AS may_use,
  has_table_privilege(c.oid, 'SELECT') AS may_read,
  row_security_active(c.oid) AS hides_rows
FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS wanted (of_schema, of_name)
JOIN pg_namespace AS n ON n.nspname = wanted.of_schema
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.of_name
WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) OR row_security_active(c.oid)
ORDER BY n.nspname, c.relname
