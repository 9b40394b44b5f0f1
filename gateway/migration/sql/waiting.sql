UPDATE stage_migration_runs SET waiting_for = %(reason)s, updated_at = clock_timestamp() WHERE run_id = %(run)s
