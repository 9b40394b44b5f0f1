-- Why a text cannot be made canonical: nobody knows it.
SELECT ({value})::text AS value, 'disallowed_value' AS reason WHERE NOT %(map)s::jsonb ? ({value})::text
