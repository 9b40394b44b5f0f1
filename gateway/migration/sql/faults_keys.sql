-- Why an object cannot be made canonical. The sum counts only where every weight is a number, once.
SELECT left(({value})::text, 200) AS value, 'wrong_type' AS reason WHERE jsonb_typeof({value}) <> 'object'
UNION ALL
SELECT
  CASE WHEN found.reason = 'wrong_type' THEN left(member.key || ': ' || member.value::text, 200) ELSE member.key END,
  found.reason
FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member (key, value)
CROSS JOIN LATERAL (
  SELECT 'disallowed_value' AS reason WHERE NOT %(map)s::jsonb ? member.key
  UNION ALL
  SELECT 'wrong_type' WHERE %(weighted)s AND jsonb_typeof(member.value) <> 'number'
) AS found
UNION ALL
SELECT weights.total::text, 'weight_sum'
FROM (
  SELECT
    sum(CASE jsonb_typeof(member.value) WHEN 'number' THEN member.value::numeric END) AS total,
    bool_and(jsonb_typeof(member.value) = 'number') AS numbers
  FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member (key, value)
) AS weights
WHERE %(weighted)s AND weights.numbers AND abs(1 - weights.total) > 0.000001
UNION ALL
SELECT string_agg(member.key, ', ' ORDER BY member.key), 'collision'
FROM jsonb_object_keys(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member (key)
WHERE NOT %(weighted)s AND %(map)s::jsonb ? member.key
GROUP BY %(map)s::jsonb ->> member.key
HAVING count(*) > 1
