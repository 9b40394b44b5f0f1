-- Whether any row is not canonical; ends at the first. Reads only.
SELECT EXISTS (SELECT FROM {table} AS t WHERE {suspect}) AS there
