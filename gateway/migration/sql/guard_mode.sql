-- Lets the guard record, refuse, or look away, for every column at once.
UPDATE stage_migration_guard AS g SET mode = %(mode)s WHERE g.mode <> %(mode)s
