-- The names of the members of an object.
SELECT member.name
FROM jsonb_object_keys(CASE WHEN jsonb_typeof({value}) = 'object' THEN {value} END) AS member (name)
