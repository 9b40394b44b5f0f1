-- Removes what stands for one column; its triggers go with their function, as in finish.sql. Each waits for writers of
-- the table, as long as lock_timeout lets it.
DROP VIEW IF EXISTS {view};
DROP FUNCTION IF EXISTS {function}() CASCADE;
DROP TABLE IF EXISTS {home}.{undo}
