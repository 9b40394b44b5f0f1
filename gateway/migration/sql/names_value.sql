SELECT {value}::text AS name
