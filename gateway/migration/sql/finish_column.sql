-- The triggers go with their function. Each waits for writers of the table, as long as lock_timeout lets it.
DROP VIEW IF EXISTS {view};
DROP FUNCTION IF EXISTS {function} CASCADE;
DROP TABLE IF EXISTS {undo}
