-- Watches one column: names that a write brings in and that are not canonical are recorded, or refused, and so is what
-- is of the wrong type. That a value is emptied is recorded in every mode, so that verify can tell whose doing it was.
-- SECURITY DEFINER: an application's role need not be able to write the migration's tables. Nothing but pg_catalog is on
-- its path, so that no function of somebody else's runs with its rights. Entries are only ever added, so that writers
-- never wait for each other here.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
  guard text := (SELECT mode FROM {home}.stage_migration_guard);
  known {home}.stage_migration_targets%ROWTYPE;
  come text[];
  refused text;
BEGIN
  IF NEW.{column} IS NULL THEN
    INSERT INTO {home}.stage_migration_seen (target_id, key, operation) VALUES ({target}, NEW.{key}::text, TG_OP);
    RETURN NULL;
  END IF;
  IF guard IS NULL OR guard = 'off' THEN
    RETURN NULL;
  END IF;
  SELECT * INTO known FROM {home}.stage_migration_targets WHERE target_id = {target};
  come := ARRAY(
    SELECT name COLLATE "C" FROM ({new_names}) AS n WHERE odd OR name COLLATE "C" <> ALL (known.canonical)
    EXCEPT
    SELECT name COLLATE "C" FROM ({old_names}) AS o
  );
  IF guard = 'refuse' THEN
    -- With acceptAliases a spelling passes as it does in the gateway: NFKC, lower case, runs of white space as one.
    SELECT n.name INTO refused FROM unnest(come) AS n (name)
    WHERE n.name COLLATE "C" <> ALL (known.accepted) AND NOT (
      cardinality(known.accepted) > cardinality(known.canonical)
      AND length(n.name) <= 128
      AND getdatabaseencoding() = 'UTF8'
      AND btrim(regexp_replace(
        lower(CASE getdatabaseencoding() WHEN 'UTF8' THEN normalize(n.name, NFKC) ELSE n.name END),
        '[ \t\n\r\f\v]+', ' ', 'g')) COLLATE "C" = ANY (known.accepted)
    )
    LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s is no canonical investment stage', quote_literal(refused)),
        DETAIL = format('column %s.%s takes %s', TG_TABLE_NAME, {column_name}, array_to_string(known.accepted, ', ')),
        TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA, COLUMN = {column_name};
    END IF;
  END IF;
  INSERT INTO {home}.stage_migration_seen (target_id, key, operation, name)
  SELECT {target}, NEW.{key}::text, TG_OP, left(name, 200) FROM unnest(come) AS name;
  RETURN NULL;
EXCEPTION
  WHEN undefined_column THEN
    IF guard = 'refuse' THEN
      RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s.%s was renamed while the guard of its stages refuses', TG_TABLE_NAME, {column_name}),
        HINT = 'Give the column its name back, or: stage-gateway migrate guard record';
    END IF;
    RAISE WARNING '%.% was renamed, the guard of its stages cannot look at it', TG_TABLE_NAME, {column_name};
    RETURN NULL;
END
$guard$
