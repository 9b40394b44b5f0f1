-- Cuts a batch in two: the first rows stay, the rest is a new batch at the end. Both halves see the batch as it was.
WITH rest AS (
  INSERT INTO stage_migration_batches (run_id, target_id, round, fund, joined, range_start, range_end, keys, row_count)
  SELECT
    w.run_id, w.target_id, w.round, w.fund, w.joined, w.keys[%(rows)s::integer + 1], w.range_end,
    w.keys[%(rows)s::integer + 1:], w.row_count - %(rows)s::integer
  FROM stage_migration_batches AS w
  WHERE w.batch_id = %(batch)s
)
UPDATE stage_migration_batches AS b
SET keys = b.keys[:%(rows)s::integer], range_end = b.keys[%(rows)s::integer], row_count = %(rows)s::integer
WHERE b.batch_id = %(batch)s
RETURNING b.batch_id, b.target_id, b.round, b.fund, b.joined, b.range_start, b.range_end, b.keys, b.row_count
