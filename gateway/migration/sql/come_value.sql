-- The one name that a text is; it cannot be of the wrong type.
SELECT {value}::text AS name, false AS odd
