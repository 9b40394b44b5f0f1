-- Cuts the rows that are not canonical into batches, fund by fund, in the order of the key. One scan, no locks on rows:
-- what changes afterwards is seen by the batch itself, which looks again, or by the next round.
-- The batch keeps its keys, since a range of keys within a fund may span the whole table.
INSERT INTO stage_migration_batches (run_id, target_id, round, fund, range_start, range_end, keys, row_count)
SELECT %(run)s, %(target)s, %(round)s, fund, keys[1], keys[cardinality(keys)], keys, cardinality(keys)
FROM (
  SELECT fund, slice, array_agg(key ORDER BY place) AS keys
  FROM (
    SELECT
      {fund}::text AS fund,
      t.{key}::text AS key,
      row_number() OVER by_fund AS place,
      (row_number() OVER by_fund - 1) / %(rows)s::bigint AS slice
    FROM {table} AS t
    WHERE {suspect}
    WINDOW by_fund AS (PARTITION BY {fund} ORDER BY t.{key})
  ) AS numbered
  GROUP BY fund, slice
) AS sliced
ORDER BY fund, slice
