SELECT key::text AS key FROM {undo}
WHERE seal <> hashtextextended((key::text || ' ' || before) COLLATE "C", after_hash)
ORDER BY key
