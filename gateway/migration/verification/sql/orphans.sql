-- Rows that refer to none. A key with a NULL refers to nothing (MATCH SIMPLE).
SELECT count(*) AS rows FROM {child} AS c
WHERE num_nulls({child_columns}) = 0 AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {match})
