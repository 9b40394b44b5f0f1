-- A batch knows its rows by their keys, so looking each up in the index is the plan that costs what the batch costs. A
-- merge join would read the index from its beginning for every batch, a hash join the whole table. Until the transaction
-- ends.
SELECT
  set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
  set_config('enable_hashjoin', 'off', true),
  -- Triggers of the application may test it to know the migration's own writes. The guard does not.
  set_config('stage_gateway.migration', 'on', true)
