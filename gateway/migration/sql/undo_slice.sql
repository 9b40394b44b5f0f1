-- The next undo rows in the order of the key, as a range. The first slice has no start.
SELECT min_key AS range_start, max_key AS range_end, rows
FROM (
  SELECT (array_agg(key::text ORDER BY key))[1] AS min_key, (array_agg(key::text ORDER BY key DESC))[1] AS max_key,
    count(*) AS rows
  FROM (
    SELECT key FROM {undo}
    WHERE %(after)s::text IS NULL OR key > %(after)s::text::{key_type}
    ORDER BY key LIMIT %(rows)s
  ) AS next
) AS slice
WHERE rows > 0
