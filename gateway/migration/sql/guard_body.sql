-- Names that a write brings in and that are not canonical are recorded, or refused, and so is what is of the wrong type.
-- That a value is emptied is recorded in every mode, so that verify can tell whose doing it was. Entries are only ever
-- added, so that writers never wait for each other here.
<<watch>>
DECLARE
  mode text := (SELECT g.mode FROM {home}.stage_migration_guard AS g);
  known {home}.stage_migration_targets%ROWTYPE;
  come text[];
  refused text;
BEGIN
  IF NEW.{column} IS NULL THEN
    INSERT INTO {home}.stage_migration_seen (target_id, key, operation) VALUES ({target}, NEW.{key}::text, TG_OP);
    RETURN NULL;
  END IF;
  IF watch.mode IS NULL OR watch.mode = 'off' THEN
    RETURN NULL;
  END IF;
  SELECT k.* INTO watch.known FROM {home}.stage_migration_targets AS k WHERE k.target_id = {target};
  watch.come := ARRAY(
    SELECT n.name COLLATE "C" FROM ({new_names}) AS n WHERE n.odd OR n.name COLLATE "C" <> ALL (watch.known.canonical)
    EXCEPT
    SELECT o.name COLLATE "C" FROM ({old_names}) AS o
  );
  IF watch.mode = 'refuse' THEN
    -- With acceptAliases a spelling passes as it does in the gateway: NFKC, lower case, runs of white space as one.
    SELECT n.name INTO watch.refused FROM unnest(watch.come) AS n (name)
    WHERE n.name COLLATE "C" <> ALL (watch.known.accepted) AND NOT (
      cardinality(watch.known.accepted) > cardinality(watch.known.canonical)
      AND length(n.name) <= 128
      AND getdatabaseencoding() = 'UTF8'
      AND btrim(regexp_replace(
        lower(CASE getdatabaseencoding() WHEN 'UTF8' THEN normalize(n.name, NFKC) ELSE n.name END),
        E'[ \\t\\n\\r\\f\\v]+', ' ', 'g')) COLLATE "C" = ANY (watch.known.accepted)
    )
    LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s is no canonical investment stage', quote_literal(watch.refused)),
        DETAIL = format(
          'column %s.%s takes %s', TG_TABLE_NAME, {column_name}, array_to_string(watch.known.accepted, ', ')),
        TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA, COLUMN = {column_name};
    END IF;
  END IF;
  INSERT INTO {home}.stage_migration_seen (target_id, key, operation, name)
  SELECT {target}, NEW.{key}::text, TG_OP, left(n.name, 200) FROM unnest(watch.come) AS n (name);
  RETURN NULL;
EXCEPTION
  WHEN undefined_column THEN
    IF watch.mode = 'refuse' THEN
      RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s.%s was renamed while the guard of its stages refuses', TG_TABLE_NAME, {column_name}),
        HINT = 'Give the column its name back, or: stage-gateway migrate guard record';
    END IF;
    RAISE WARNING '%.% was renamed, the guard of its stages cannot look at it', TG_TABLE_NAME, {column_name};
    RETURN NULL;
END
