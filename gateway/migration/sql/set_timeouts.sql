SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', %(statement)s, false)
