-- The canonical name of a text, NULL when nobody knows it.
SELECT %(map)s::jsonb ->> ({value})::text AS after
