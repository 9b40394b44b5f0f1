SELECT %(map)s::jsonb ->> ({value})::text AS after
