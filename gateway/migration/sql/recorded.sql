-- What a run left out of a column, with the fund that its row has now. Reads only.
SELECT i.key AS key, {fund}::text AS fund, i.value AS value, i.reason AS reason
FROM stage_migration_invalid AS i
LEFT JOIN {table} AS t ON t.{key} = i.key::{key_type}
WHERE i.run_id = %(run)s AND i.target_id = %(target)s
ORDER BY t.{key}
