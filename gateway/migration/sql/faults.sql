-- Every value of these rows that cannot be made canonical, and why. Reads only; rows that are canonical are passed over
-- before anything in them is taken apart.
SELECT t.{key}::text AS key, {fund}::text AS fund, fault.value, fault.reason
FROM {table} AS t
CROSS JOIN LATERAL ({faults}) AS fault
WHERE {where} AND {suspect}
ORDER BY t.{key}
