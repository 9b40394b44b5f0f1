-- Who holds the lock. A bigint lock shows its halves in classid and objid, with objsubid 1 (PostgreSQL, "pg_locks").
SELECT
  a.pid, a.usename::text AS role, a.application_name AS application,
  coalesce(host(a.client_addr), 'the server itself') AS host,
  a.backend_start
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('stage-gateway migrate', 0)
