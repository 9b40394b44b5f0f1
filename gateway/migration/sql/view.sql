-- What an application reads through. The mode is asked once a query: the branch that does not hold is given a one-time
-- filter and never runs, and a condition on the view goes into the branch that does. UNION ALL, so it cannot be written.
-- security_invoker: table, undo rows and mode are read with the rights of whoever reads.
CREATE OR REPLACE VIEW {view} WITH (security_invoker = true) AS
SELECT {columns} FROM {table} AS t WHERE (SELECT m.mode FROM stage_read_mode AS m) = 'canonical'
UNION ALL
SELECT {legacy_columns} FROM {table} AS t {undo_joins} WHERE (SELECT m.mode FROM stage_read_mode AS m) = 'legacy'
