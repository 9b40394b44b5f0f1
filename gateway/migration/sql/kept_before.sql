-- Whether any row between these keys has an undo row: more than is asked, and answered by one look into the index. Only
-- the holder of the advisory lock writes undo rows, so the answer stays true.
SELECT EXISTS (
  SELECT FROM {undo} WHERE key BETWEEN %(start)s::text::{key_type} AND %(end)s::text::{key_type}
) AS there
