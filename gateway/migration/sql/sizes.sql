-- The batches that a run would make, as counts by size, and the keys of one of them to try: the middle one of the
-- largest. Reads only, one scan.
WITH batch AS MATERIALIZED ({cut}),
chosen AS (
  SELECT largest.keys
  FROM batch AS largest
  WHERE largest.row_count = (SELECT max(every.row_count) FROM batch AS every)
  ORDER BY abs(2 * largest.place - (SELECT max(every.place) FROM batch AS every)), largest.place
  LIMIT 1
),
sizes AS (
  SELECT batch.row_count, count(*) AS times FROM batch GROUP BY batch.row_count
)
SELECT
  (SELECT coalesce(jsonb_object_agg(sizes.row_count, sizes.times), '{{}}') FROM sizes) AS sizes,
  (SELECT chosen.keys FROM chosen) AS keys
