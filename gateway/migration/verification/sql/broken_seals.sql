-- Undo rows that are not as they were written: the seal no longer binds key, text and hash together.
SELECT u.key::text AS key FROM {undo} AS u
WHERE u.seal <> hashtextextended((u.key::text || ' ' || u.before) COLLATE "C", u.after_hash)
ORDER BY u.key
