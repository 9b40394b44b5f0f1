-- The distinct names in rows that are not canonical: what the vocabulary is asked about. Reads only, one scan.
SELECT DISTINCT n.name COLLATE "C" AS name
FROM {table} AS t
CROSS JOIN LATERAL ({names}) AS n
WHERE {suspect} AND n.name COLLATE "C" <> ALL (%(canonical)s::text[])
