-- Why an array cannot be made canonical. The sum counts only where every weight is a number, once.
SELECT left(({value})::text, 200) AS value, 'wrong_type' AS reason WHERE jsonb_typeof({value}) <> 'array'
UNION ALL
SELECT left(fault.value, 200), fault.reason
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS element
CROSS JOIN LATERAL (
  SELECT element::text AS value, 'missing' AS reason
  WHERE jsonb_typeof(element) = 'object' AND NOT element ? %(field)s::text
  UNION ALL
  SELECT element::text, 'wrong_type'
  WHERE jsonb_typeof(element) <> 'object' OR jsonb_typeof(element -> %(field)s::text) <> 'string'
  UNION ALL
  SELECT element ->> %(field)s::text, 'disallowed_value'
  WHERE jsonb_typeof(element -> %(field)s::text) = 'string' AND NOT %(map)s::jsonb ? (element ->> %(field)s::text)
  UNION ALL
  SELECT element::text, 'wrong_type'
  WHERE %(weighted)s AND jsonb_typeof(element) = 'object'
    AND coalesce(jsonb_typeof(element -> %(weight)s::text), '') <> 'number'
) AS fault
UNION ALL
SELECT total::text, 'weight_sum'
FROM (
  SELECT
    sum(CASE jsonb_typeof(element -> %(weight)s::text) WHEN 'number' THEN (element -> %(weight)s::text)::numeric END)
      AS total,
    bool_and(coalesce(jsonb_typeof(element -> %(weight)s::text), '') = 'number') AS numbers
  FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS element
) AS weights
WHERE %(weighted)s AND numbers AND abs(1 - total) > 0.000001
