-- Watches one column: names that a write brings in and that are not canonical are recorded, or refused.
-- SECURITY DEFINER: an application's role need not be able to write the migration's tables. search_path is that of the
-- migration. Entries are only ever added, so that writers never wait for each other here.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $guard$
DECLARE
  guard text := (SELECT mode FROM stage_migration_guard);
  known stage_migration_targets%ROWTYPE;
  come text[];
  refused text[];
BEGIN
  IF guard IS NULL OR guard = 'off' THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' AND NEW.{column} IS NULL THEN
    INSERT INTO stage_migration_seen (target_id, key, operation) VALUES ({target}, NEW.{key}::text, TG_OP);
    RETURN NULL;
  END IF;
  SELECT * INTO known FROM stage_migration_targets WHERE target_id = {target};
  come := ARRAY(
    SELECT name FROM ({new_names}) AS n WHERE name COLLATE "C" <> ALL (known.canonical)
    EXCEPT
    SELECT name FROM ({old_names}) AS o
  );
  IF cardinality(come) = 0 THEN
    RETURN NULL;
  END IF;
  IF guard = 'refuse' THEN
    refused := ARRAY(SELECT name FROM unnest(come) AS name WHERE name COLLATE "C" <> ALL (known.accepted));
    IF cardinality(refused) > 0 THEN
      RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s is no canonical investment stage', quote_literal(refused[1])),
        DETAIL = format('column %s.%s takes %s', TG_TABLE_NAME, {column_name}, array_to_string(known.accepted, ', ')),
        TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA, COLUMN = {column_name};
    END IF;
  END IF;
  INSERT INTO stage_migration_seen (target_id, key, operation, name)
  SELECT {target}, NEW.{key}::text, TG_OP, left(name, 200) FROM unnest(come) AS name;
  RETURN NULL;
END
$guard$
