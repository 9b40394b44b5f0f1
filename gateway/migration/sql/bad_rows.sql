-- How many rows are not canonical. Reads only, one scan, or the partial index where there is one.
SELECT count(*) AS rows FROM {table} AS t WHERE {suspect}
