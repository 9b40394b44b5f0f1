-- Makes the function that counts the rows of a table that come and go.
CREATE OR REPLACE FUNCTION {home}.stage_migration_count() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {body};
REVOKE EXECUTE ON FUNCTION {home}.stage_migration_count() FROM PUBLIC;
COMMENT ON FUNCTION {home}.stage_migration_count() IS {mark}
