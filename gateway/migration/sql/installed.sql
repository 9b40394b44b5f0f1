-- What has the name of the first of our tables, with the comment that tells whose it is.
SELECT
  'own' AS used_as, 'table' AS kind, format('%I.stage_migration_targets', {home_name}::text) AS place,
  obj_description(to_regclass('stage_migration_targets'), 'pg_class') AS comment
