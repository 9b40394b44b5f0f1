-- Puts down the batches of a round. No locks on rows: what changes afterwards is seen by the batch itself, which looks
-- again, or by the next round. A batch keeps its keys, since a range of keys within a fund may span the whole table.
INSERT INTO stage_migration_batches (
  run_id, target_id, round, fund, joined, range_start, range_end, keys, row_count
)
SELECT
  %(run)s, %(target)s, %(round)s, batch.fund, batch.joined, batch.keys[1], batch.keys[cardinality(batch.keys)],
  batch.keys, batch.row_count
FROM ({cut}) AS batch
ORDER BY batch.place
