-- Names what a waiting session waits for and who holds it, the first of them; no row while it does not wait.
-- A session that waits for a row waits for a transaction, and holds the lock of the row's place meanwhile ("tuple").
-- A blocker of number 0 is a prepared transaction (PostgreSQL, "pg_blocking_pids").
SELECT
  (
    SELECT concat_ws('.', n.nspname, c.relname)
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE l.pid = %(pid)s AND (NOT l.granted OR l.locktype = 'tuple')
    ORDER BY l.granted
    LIMIT 1
  ) AS relation,
  nullif(blocker.pid, 0) AS pid,
  a.application_name AS application,
  a.usename::text AS role,
  a.query_start AS since,
  a.state
FROM unnest(pg_blocking_pids(%(pid)s)) AS blocker (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = blocker.pid
ORDER BY a.query_start
LIMIT 1
