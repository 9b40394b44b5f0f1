-- The undo rows of one column beside its table, where the row still holds what the migration wrote.
LEFT JOIN {undo} AS {alias}
  ON {alias}.key = t.{key} AND {alias}.after_hash = hashtextextended(t.{column}::text COLLATE "C", 0)
