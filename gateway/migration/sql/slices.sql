-- Cuts the rows that are not canonical into batches, fund by fund, in the order of the key. One scan, no locks on rows:
-- what changes afterwards is seen by the batch itself, which looks again, or by the next round.
-- The batch keeps its keys, since a range of keys within a fund may span the whole table.
INSERT INTO stage_migration_batches (run_id, target_id, round, fund, range_start, range_end, keys, row_count)
SELECT
  %(run)s, %(target)s, %(round)s, sliced.fund, sliced.keys[1], sliced.keys[cardinality(sliced.keys)], sliced.keys,
  cardinality(sliced.keys)
FROM (
  SELECT numbered.fund, numbered.slice, array_agg(numbered.key ORDER BY numbered.place) AS keys
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
  GROUP BY numbered.fund, numbered.slice
) AS sliced
ORDER BY sliced.fund, sliced.slice
