-- What a run counts before its first batch, for the time it takes. Reads only, one scan.
SELECT count(*) AS rows, count(*) FILTER (WHERE {off}) AS off FROM {table} AS t
