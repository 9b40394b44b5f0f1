-- Who may read a view besides its owner; NULL is everybody.
SELECT r.rolname::text AS role
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) AS acl
LEFT JOIN pg_roles AS r ON r.oid = acl.grantee
WHERE n.nspname = %(schema)s AND c.relname = %(view)s AND acl.privilege_type = 'SELECT' AND acl.grantee <> c.relowner
