-- Counts the rows of a table that come and go, one entry a statement. A counter in one row would make every writer wait
-- for every other.
CREATE OR REPLACE FUNCTION {home}.stage_migration_count() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $count$
DECLARE
  change bigint;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('SELECT -count(*) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO change;
  ELSE
    SELECT count(*) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END INTO change FROM changed;
  END IF;
  IF change <> 0 THEN
    INSERT INTO {home}.stage_migration_counts (table_schema, table_name, change)
    VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, change);
  END IF;
  RETURN NULL;
END
$count$;
REVOKE EXECUTE ON FUNCTION {home}.stage_migration_count() FROM PUBLIC
