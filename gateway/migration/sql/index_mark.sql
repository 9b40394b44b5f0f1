-- Marks an index as ours once it is built.
COMMENT ON INDEX {index} IS {mark}
