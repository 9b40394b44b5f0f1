UPDATE stage_migration_guard SET mode = %(mode)s WHERE mode <> %(mode)s
