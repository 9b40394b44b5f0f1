-- Gives the rows of a table as they will stand once a column is migrated, with what stood there and whether it changes.
SELECT {row_columns}, t.{column} AS {was}, {suspect} AND derived.after IS NOT NULL AS {moved}
FROM {table} AS t
LEFT JOIN LATERAL ({derive}) AS derived ON true
