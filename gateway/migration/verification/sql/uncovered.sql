-- Rows whose period those of the rows that they refer to do not cover, all of them together (PostgreSQL manual, "CREATE
-- TABLE", PERIOD). A key with a NULL refers to nothing.
SELECT count(*) AS rows
FROM {child} AS c
WHERE num_nulls({child_columns}, {child_period}) = 0 AND NOT coalesce(
  (SELECT range_agg({parent_period}) @> {child_period} FROM {parent} AS p WHERE {match}),
  false
)
