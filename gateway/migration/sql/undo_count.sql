-- How many undo rows a column has.
SELECT count(*) AS rows FROM {undo}
