SELECT {value}::text AS name, false AS odd
