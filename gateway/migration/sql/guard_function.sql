-- Makes the function that watches one column.
-- SECURITY DEFINER: an application's role need not be able to write the migration's tables. Nothing but pg_catalog is on
-- its path, so that no function of somebody else's runs with its rights.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body};
REVOKE EXECUTE ON FUNCTION {function}() FROM PUBLIC;
COMMENT ON FUNCTION {function}() IS {mark}
