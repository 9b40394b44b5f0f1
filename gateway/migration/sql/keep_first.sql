-- Undo rows of values that have none yet; without the check for conflicts a batch takes an eighth less time.
  INSERT INTO {undo} (key, before, after_hash, seal, batch_id)
  SELECT
    h.key, h.before, h.after_hash,
    hashtextextended((h.key::text || ' ' || h.before) COLLATE "C", h.after_hash), %(batch)s
  FROM hashed AS h
  RETURNING true AS added
