SELECT element ->> {field}::text AS name
FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS element
WHERE jsonb_typeof(element -> {field}::text) = 'string'
