-- An undo row that is there already, of a value that was edited and spelt badly again, takes the new text; when the
-- migration itself wrote what stands there (under another vocabulary), it keeps the older one.
  INSERT INTO {undo} AS u (key, before, after_hash, seal, batch_id)
  SELECT
    h.key, h.before, h.after_hash,
    hashtextextended((h.key::text || ' ' || h.before) COLLATE "C", h.after_hash), %(batch)s
  FROM hashed AS h
  ON CONFLICT (key) DO UPDATE SET
    before = CASE
      WHEN u.after_hash = hashtextextended(excluded.before COLLATE "C", 0) THEN u.before ELSE excluded.before
    END,
    after_hash = excluded.after_hash,
    seal = CASE
      WHEN u.after_hash = hashtextextended(excluded.before COLLATE "C", 0)
      THEN hashtextextended((u.key::text || ' ' || u.before) COLLATE "C", excluded.after_hash) ELSE excluded.seal
    END,
    batch_id = excluded.batch_id
  RETURNING u.xmax = 0 AS added
