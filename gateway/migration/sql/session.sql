-- What holds for every statement of a connection of ours.
-- search_path: only the schema of the migration, so that nobody's table of the same name is met; pg_temp last.
-- standard_conforming_strings on: a backslash in a statement is a backslash, whatever the database is set to.
-- row_security off: a policy that would hide rows from this role is an error, not a smaller migration.
-- idle_session_timeout, transaction_timeout: a role's own would end a run that waits for pg_dump, or scans a large table,
-- each time anew. The second is there from PostgreSQL 17 on.
SELECT
  set_config('search_path', quote_ident({schema}) || ', pg_temp', false),
  set_config('standard_conforming_strings', 'on', false),
  set_config('row_security', 'off', false),
  set_config('lock_timeout', %(lock)s, false),
  set_config('statement_timeout', %(statement)s, false),
  set_config('idle_in_transaction_session_timeout', '60s', false),
  set_config('idle_session_timeout', '0', false),
  (SELECT set_config(s.name, '0', false) FROM pg_settings AS s WHERE s.name = 'transaction_timeout'),
  set_config('work_mem', '64MB', false),
  set_config('jit', 'off', false),
  set_config('TimeZone', 'UTC', false)
