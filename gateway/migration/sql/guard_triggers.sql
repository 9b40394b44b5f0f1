-- AFTER, so that what other triggers make of a value is what is looked at. The migration's own writes, and writes that
-- leave the column alone, do not reach the function. Waits for writers of the table and holds them off until it commits,
-- which is at once.
REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC;
CREATE TRIGGER {on_insert} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();
CREATE TRIGGER {on_update} AFTER UPDATE ON {table} FOR EACH ROW
  WHEN (
    OLD.{column} IS DISTINCT FROM NEW.{column}
    AND current_setting('stage_gateway.migration', true) IS DISTINCT FROM 'on'
  )
  EXECUTE FUNCTION {function}()
