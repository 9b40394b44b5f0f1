-- What builds on a function of ours and is no trigger of ours: it would go with the function.
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS what
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
LEFT JOIN pg_trigger AS g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
WHERE n.nspname = {home_name} AND p.pronargs = 0
  AND (p.proname = 'stage_migration_count' OR p.proname = ANY (
    SELECT 'stage_migration_guard_' || number.of FROM unnest(%(numbers)s::integer[]) AS number (of)
  ))
  AND (g.oid IS NULL OR g.tgname !~ '^stage_migration_(count_(insert|delete|truncate)|guard_[0-9]+_(insert|update))$')
ORDER BY 1
