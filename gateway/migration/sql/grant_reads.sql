-- The view, and what it reads besides the table. Row-level security on the undo rows asks the table.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {relations} TO {role}
