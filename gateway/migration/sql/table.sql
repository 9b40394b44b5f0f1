-- One table as the catalog has it, and what this role may do with it. pg_catalog alone is read, no lock on the table.
SELECT
  c.oid,
  c.relkind::text AS kind,
  format('%%I.%%I', n.nspname, c.relname) AS quoted,
  quote_ident(n.nspname) AS quoted_schema,
  quote_ident(current_user) AS role,
  greatest(c.reltuples, 0)::bigint AS estimate,
  EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children,
  row_security_active(c.oid) AS hides_rows,
  has_table_privilege(c.oid, 'SELECT') AS may_read,
  has_table_privilege(c.oid, 'TRIGGER') AS may_trigger,
  has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') AS may_create,
  ARRAY(
    SELECT g.tgname::text FROM pg_trigger AS g
    WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 16 = 16 AND g.tgname NOT LIKE 'stage\_migration\_%%'
    ORDER BY g.tgname
  ) AS update_triggers,
  ARRAY(
    SELECT quote_ident(r.rulename) FROM pg_rewrite AS r
    WHERE r.ev_class = c.oid AND r.ev_type = '2' AND r.ev_enabled <> 'D'
    ORDER BY r.rulename
  ) AS update_rules
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
