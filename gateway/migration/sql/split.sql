-- Cuts a batch in two: the first rows stay, the rest is a new batch at the end. Both halves see the batch as it was.
WITH rest AS (
  INSERT INTO stage_migration_batches (run_id, target_id, round, fund, range_start, range_end, keys, row_count)
  SELECT
    run_id, target_id, round, fund, keys[%(rows)s::integer + 1], range_end, keys[%(rows)s::integer + 1:],
    row_count - %(rows)s::integer
  FROM stage_migration_batches
  WHERE batch_id = %(batch)s
)
UPDATE stage_migration_batches
SET keys = keys[:%(rows)s::integer], range_end = keys[%(rows)s::integer], row_count = %(rows)s::integer
WHERE batch_id = %(batch)s
RETURNING batch_id, target_id, round, fund, range_start, range_end, keys, row_count
