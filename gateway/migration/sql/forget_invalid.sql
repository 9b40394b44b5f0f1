-- A new round looks at every row that is not canonical again, so what the last one recorded is said again or is over.
DELETE FROM stage_migration_invalid AS i WHERE i.run_id = %(run)s
