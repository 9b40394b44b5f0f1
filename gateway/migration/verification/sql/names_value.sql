-- The name that is a text.
SELECT {value}::text AS name
