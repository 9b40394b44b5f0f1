-- AFTER, so that what other triggers make of a value is what is looked at. Canonical values, those of the migration
-- among them, and writes that leave the column alone are told by the condition and do not reach the function. Text is
-- compared by its bytes: to the column's own collation a bad name may be equal to a good one. The argument names the
-- vocabulary that the condition was made from. Waits for writers of the table and holds them off until it commits, which
-- is at once.
CREATE OR REPLACE TRIGGER {on_insert} AFTER INSERT ON {table} FOR EACH ROW
  WHEN (NEW.{column} IS NULL OR {suspect})
  EXECUTE FUNCTION {function}({fingerprint});
CREATE OR REPLACE TRIGGER {on_update} AFTER UPDATE ON {table} FOR EACH ROW
  WHEN (
    (NEW.{column} IS NULL OR {suspect})
    AND NEW.{column}::text COLLATE "C" IS DISTINCT FROM OLD.{column}::text COLLATE "C"
  )
  EXECUTE FUNCTION {function}({fingerprint})
