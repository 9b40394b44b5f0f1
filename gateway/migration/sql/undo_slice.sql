-- The next undo rows in the order of the key, as a range. The first slice has no start.
SELECT slice.min_key AS range_start, slice.max_key AS range_end, slice.rows
FROM (
  SELECT
    (array_agg(following.key::text ORDER BY following.key))[1] AS min_key,
    (array_agg(following.key::text ORDER BY following.key DESC))[1] AS max_key,
    count(*) AS rows
  FROM (
    SELECT u.key FROM {undo} AS u
    WHERE %(after)s::text IS NULL OR u.key > %(after)s::text::{key_type}
    ORDER BY u.key LIMIT %(rows)s
  ) AS following
) AS slice
WHERE slice.rows > 0
