LEFT JOIN {undo} AS {alias}
  ON {alias}.key = t.{key} AND {alias}.after_hash = hashtextextended(t.{column}::text COLLATE "C", 0)
