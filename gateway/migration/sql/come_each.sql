-- Names in an array, and what is missing or of the wrong type in it (odd).
SELECT item.element ->> {field}::text AS name, false AS odd
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
WHERE jsonb_typeof(item.element -> {field}::text) = 'string'
UNION ALL
SELECT left(item.element::text, 200), true
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
WHERE jsonb_typeof(item.element -> {field}::text) IS DISTINCT FROM 'string'
  OR ({weighted}::boolean AND jsonb_typeof(item.element -> {weight}::text) IS DISTINCT FROM 'number')
UNION ALL
SELECT left({value}::text, 200), true WHERE jsonb_typeof({value}) <> 'array'
