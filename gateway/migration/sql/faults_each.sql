-- Why an array cannot be made canonical. The sum counts only where every weight is a number, once.
SELECT left(({value})::text, 200) AS value, 'wrong_type' AS reason WHERE jsonb_typeof({value}) <> 'array'
UNION ALL
SELECT left(found.value, 200), found.reason
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
CROSS JOIN LATERAL (
  SELECT item.element::text AS value, 'missing' AS reason
  WHERE jsonb_typeof(item.element) = 'object' AND NOT item.element ? %(field)s::text
  UNION ALL
  SELECT item.element::text, 'wrong_type'
  WHERE jsonb_typeof(item.element) <> 'object' OR jsonb_typeof(item.element -> %(field)s::text) <> 'string'
  UNION ALL
  SELECT item.element ->> %(field)s::text, 'disallowed_value'
  WHERE jsonb_typeof(item.element -> %(field)s::text) = 'string'
    AND NOT %(map)s::jsonb ? (item.element ->> %(field)s::text)
  UNION ALL
  SELECT item.element::text, 'wrong_type'
  WHERE %(weighted)s AND jsonb_typeof(item.element) = 'object'
    AND coalesce(jsonb_typeof(item.element -> %(weight)s::text), '') <> 'number'
) AS found
UNION ALL
SELECT weights.total::text, 'weight_sum'
FROM (
  SELECT
    sum(
      CASE jsonb_typeof(item.element -> %(weight)s::text)
        WHEN 'number' THEN (item.element -> %(weight)s::text)::numeric
      END
    ) AS total,
    bool_and(coalesce(jsonb_typeof(item.element -> %(weight)s::text), '') = 'number') AS numbers
  FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
) AS weights
WHERE %(weighted)s AND weights.numbers AND abs(1 - weights.total) > 0.000001
