-- Foreign keys from and to the migrated tables. Those over periods there are from PostgreSQL 18 on: the column that tells
-- them is read as a member, since before it is not there.
SELECT
  con.conname::text AS name, con.convalidated AS validated,
  coalesce((to_jsonb(con.*) ->> 'conperiod')::boolean, false) AS over_a_period,
  cn.nspname::text AS child_schema, child.relname::text AS child,
  pn.nspname::text AS parent_schema, parent.relname::text AS parent,
  ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.number ORDER BY k.place) AS child_columns,
  ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.number ORDER BY k.place) AS parent_columns,
  -- That of the constraint, with its schema: nothing but the migration's schema is on the search path.
  ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
    FROM unnest(con.conpfeqop) WITH ORDINALITY AS k (operator, place)
    JOIN pg_operator AS o ON o.oid = k.operator
    JOIN pg_namespace AS n ON n.oid = o.oprnamespace ORDER BY k.place) AS operators,
  has_table_privilege(child.oid, 'SELECT') AND has_table_privilege(parent.oid, 'SELECT') AS may_read
FROM pg_constraint AS con
JOIN pg_class AS child ON child.oid = con.conrelid
JOIN pg_namespace AS cn ON cn.oid = child.relnamespace
JOIN pg_class AS parent ON parent.oid = con.confrelid
JOIN pg_namespace AS pn ON pn.oid = parent.relnamespace
WHERE con.contype = 'f' AND con.conparentid = 0 AND EXISTS (
  SELECT FROM stage_migration_targets AS known
  WHERE (known.identity ->> 'schema', known.identity ->> 'table')
    IN ((cn.nspname, child.relname), (pn.nspname, parent.relname))
)
ORDER BY con.conname
