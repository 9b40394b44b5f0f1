-- How many rows are not canonical, and in how many funds. Reads only, one scan.
SELECT count(*) AS rows, count(DISTINCT {fund}) AS funds FROM {table} AS t WHERE {suspect}
