-- One batch, data and undo rows in one statement.
-- Rows are found by key, and written only if the version that was looked at is still the present one (xmin): what an
-- application changed in between is left for the next round. No row is locked before it is written, so a batch holds
-- row locks for the time of one statement and no longer. The join by xmin is not one by ctid, since a recheck after
-- waiting for another transaction does not always test ctid.
WITH candidate AS (
  SELECT t.{key} AS key, t.xmin AS version, t.{column} AS before, derived.after
  FROM {table} AS t
  CROSS JOIN LATERAL ({derive}) AS derived
  WHERE t.{key} = ANY (%(keys)s::text[]::{key_type}[]) AND {suspect}
),
written AS (
  UPDATE {table} AS t
  SET {column} = candidate.after
  FROM candidate
  WHERE t.{key} = candidate.key AND t.xmin = candidate.version AND candidate.after IS NOT NULL
  RETURNING t.{key} AS key, candidate.before::text AS before, t.{column} AS after, candidate.after AS meant
),
hashed AS (
  -- A trigger may have stored a NULL; the count of broken rows below tells of it.
  SELECT w.key, w.before, coalesce(hashtextextended(w.after::text COLLATE "C", 0), 0) AS after_hash FROM written AS w
),
kept AS (
  {keep}
)
SELECT
  (SELECT count(*) FROM written) AS updated,
  (SELECT count(*) FROM written AS w WHERE w.after IS NULL OR {broken}) AS broken,
  -- A trigger may have stored something else than what was meant; an other canonical name is wrong too.
  (
    SELECT array_agg(ARRAY[w.key::text, left(w.after::text, 200)] ORDER BY w.key) FROM written AS w
    WHERE {after_exactly} IS DISTINCT FROM {meant_exactly}
  ) AS altered,
  (SELECT count(*) FROM kept) AS kept,
  (SELECT count(*) FROM kept AS k WHERE k.added) AS added
