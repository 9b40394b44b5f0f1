-- Only rows that are not canonical are in it, so it shrinks to nothing as the migration goes. CONCURRENTLY, so that
-- writers go on; an index that a broken build left behind is not valid and is dropped first.
CREATE INDEX CONCURRENTLY {index} ON {table} ({key}) WHERE {suspect}
