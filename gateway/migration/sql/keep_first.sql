-- Undo rows of values that have none yet; without the check for conflicts a batch takes an eighth less time.
  INSERT INTO {undo} (key, before, after_hash, seal, batch_id)
  SELECT
    key, before, after_hash, hashtextextended((key::text || ' ' || before) COLLATE "C", after_hash), %(batch)s
  FROM hashed
  RETURNING true AS added
