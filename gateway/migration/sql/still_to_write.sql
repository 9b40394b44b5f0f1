-- Which rows of a batch could have been written and were not: changed by somebody in between, or kept from it by a
-- trigger. Locked, so that the next try tells which.
SELECT t.{key}::text AS key
FROM {table} AS t
CROSS JOIN LATERAL ({derive}) AS derived
WHERE t.{key} = ANY (%(keys)s::text[]::{key_type}[]) AND {suspect} AND derived.after IS NOT NULL
ORDER BY t.{key}
FOR NO KEY UPDATE OF t
