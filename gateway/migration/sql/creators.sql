-- Who else may create objects in the schema: a function of the right name and arguments would be found before that of
-- the system, and run with the rights of the migration and of its triggers.
SELECT
  string_agg(coalesce(quote_ident(grantee.rolname), 'PUBLIC'), ', ') AS others,
  quote_ident(%(schema)s) AS quoted_schema
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS given
LEFT JOIN pg_catalog.pg_roles AS grantee ON grantee.oid = given.grantee
WHERE n.nspname = %(schema)s
  AND given.privilege_type = 'CREATE'
  AND given.grantee <> n.nspowner
  AND coalesce(grantee.rolname <> current_user AND NOT grantee.rolsuper, true)
