-- The names in the elements of an array.
SELECT item.element ->> %(field)s::text AS name
FROM jsonb_array_elements(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} END) AS item (element)
WHERE jsonb_typeof(item.element -> %(field)s::text) = 'string'
