-- The rows that are not canonical, cut into batches of at most so many rows, fund by fund: what a plan counts and a run
-- does. A fund that fills more than half a batch has batches of its own. Smaller ones that follow each other share
-- batches; each goes whole into the one in which its first row falls, and the width of these leaves room for the
-- largest. Reads only, one scan.
WITH bad AS MATERIALIZED (
  SELECT
    {fund}::text AS fund,
    t.{key} AS key,
    dense_rank() OVER (ORDER BY {fund}) AS fund_number,
    row_number() OVER (PARTITION BY {fund} ORDER BY t.{key}) AS place
  FROM {table} AS t
  WHERE {suspect}
),
sized AS (
  SELECT
    bad.fund_number,
    count(*) AS row_count,
    count(*) > %(rows)s::bigint / 2 AS alone,
    sum(CASE WHEN count(*) > %(rows)s::bigint / 2 THEN 1 ELSE 0 END) OVER (ORDER BY bad.fund_number) AS stretch
  FROM bad
  GROUP BY bad.fund_number
),
placed AS (
  SELECT
    sized.fund_number,
    sized.alone,
    sized.stretch,
    sum(sized.row_count) OVER (PARTITION BY sized.stretch, sized.alone ORDER BY sized.fund_number) - sized.row_count
      AS rows_before,
    max(sized.row_count) OVER (PARTITION BY sized.stretch, sized.alone) AS largest
  FROM sized
),
cut AS (
  SELECT
    bad.fund,
    bad.key,
    bad.fund_number,
    placed.alone,
    placed.stretch,
    CASE
      WHEN placed.alone THEN (bad.place - 1) / %(rows)s::bigint
      ELSE div(placed.rows_before, %(rows)s::bigint - placed.largest)
    END AS slice
  FROM bad
  JOIN placed ON placed.fund_number = bad.fund_number
)
SELECT
  row_number() OVER (ORDER BY cut.stretch, cut.alone DESC, cut.slice) AS place,
  CASE WHEN min(cut.fund_number) = max(cut.fund_number) THEN min(cut.fund) END AS fund,
  min(cut.fund_number) < max(cut.fund_number) AS joined,
  array_agg(cut.key::text ORDER BY cut.key) AS keys,
  count(*)::integer AS row_count
FROM cut
GROUP BY cut.stretch, cut.alone, cut.slice
