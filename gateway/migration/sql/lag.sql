-- How far each replica is behind, in bytes. NULL, and not 0, where this role may not see it (pg_monitor lets it).
-- A base backup in progress has a line of its own here and replays nothing.
SELECT
  coalesce(nullif(r.application_name, ''), 'replica') AS name,
  pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint AS bytes
FROM pg_stat_replication AS r
WHERE r.state IS DISTINCT FROM 'backup'
