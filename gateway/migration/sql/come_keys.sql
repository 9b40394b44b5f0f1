-- Names in an object, and what is of the wrong type in it (odd).
SELECT member.key AS name, false AS odd
FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member
UNION ALL
SELECT left(member.key || ': ' || member.value::text, 200), true
FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member
WHERE {weighted}::boolean AND jsonb_typeof(member.value) <> 'number'
UNION ALL
SELECT left({value}::text, 200), true WHERE jsonb_typeof({value}) <> 'object'
