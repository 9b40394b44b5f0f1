-- How long statements of this connection wait for locks, and how long they may take.
SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', %(statement)s, false)
