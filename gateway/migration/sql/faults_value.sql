SELECT ({value})::text AS value, 'disallowed_value' AS reason WHERE NOT %(map)s::jsonb ? ({value})::text
