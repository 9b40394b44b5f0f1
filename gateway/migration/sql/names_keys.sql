-- The names in an object.
SELECT jsonb_object_keys(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS name
