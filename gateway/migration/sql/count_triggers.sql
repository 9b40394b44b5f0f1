-- Waits for writers of the table and holds them off until it commits, so that no row comes or goes uncounted from here.
CREATE TRIGGER stage_migration_count_insert AFTER INSERT ON {table}
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {home}.stage_migration_count();
CREATE TRIGGER stage_migration_count_delete AFTER DELETE ON {table}
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {home}.stage_migration_count();
CREATE TRIGGER stage_migration_count_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION {home}.stage_migration_count()
