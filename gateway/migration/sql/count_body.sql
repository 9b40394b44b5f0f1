-- One entry a statement: a counter in one row would make every writer wait for every other.
<<counted>>
DECLARE
  change bigint;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('SELECT -count(*) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO counted.change;
  ELSE
    SELECT count(*) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END INTO counted.change FROM changed;
  END IF;
  IF counted.change <> 0 THEN
    INSERT INTO {home}.stage_migration_counts (table_schema, table_name, change)
    VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, counted.change);
  END IF;
  RETURN NULL;
END
