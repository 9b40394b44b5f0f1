-- The one name that a text is.
SELECT {value}::text AS name
