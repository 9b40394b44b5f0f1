-- The names in an array.
SELECT item.element ->> {field}::text AS name
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
WHERE jsonb_typeof(item.element -> {field}::text) = 'string'
