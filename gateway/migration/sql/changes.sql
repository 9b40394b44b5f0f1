-- Which names stand in rows that are not canonical, by fund, and in how many rows. Reads only, one scan.
SELECT {fund}::text AS fund, n.name COLLATE "C" AS name, count(*) AS rows
FROM {table} AS t
CROSS JOIN LATERAL ({names}) AS n
WHERE {suspect} AND n.name COLLATE "C" <> ALL (%(canonical)s::text[])
GROUP BY 1, 2
ORDER BY 1, 2
