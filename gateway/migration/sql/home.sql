-- The schema of the migration's own tables, and what this role may do in it.
SELECT
  n.oid IS NOT NULL AS there,
  coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) AS may_create,
  quote_ident({home_name}) AS quoted, quote_ident(current_user) AS role
FROM (VALUES (true)) AS one_row (always)
LEFT JOIN pg_namespace AS n ON n.nspname = {home_name}
