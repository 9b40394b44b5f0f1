-- Whether any of these rows has an undo row. By the keys themselves: a range would be read in the order of the undo
-- table, which need not be that of the table's own collation. Only the holder of the advisory lock writes undo rows,
-- so the answer stays true.
SELECT EXISTS (
  SELECT FROM {undo} AS u WHERE u.key = ANY (%(keys)s::text[]::{key_type}[])
) AS there
