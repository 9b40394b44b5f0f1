-- One row for each value of a column that the migration changed: what stood there, to the letter, and the hash of what
-- it wrote. The seal binds key, text and hash together. Who reads it sees only the rows that the table lets them see;
-- the policy asks the table, and the column, with the rights of whoever reads. Of a row that was edited, or whose key
-- was given to another, nobody sees what stood there.
CREATE TABLE {undo} (
  key {key_type} PRIMARY KEY,
  before text NOT NULL,
  after_hash bigint NOT NULL,
  seal bigint NOT NULL,
  batch_id bigint NOT NULL
);
ALTER TABLE {undo} ENABLE ROW LEVEL SECURITY;
CREATE POLICY stage_migration_as_the_table ON {undo} FOR SELECT
  USING (EXISTS (
    SELECT FROM {table} AS t
    WHERE t.{key} = {undo}.key AND hashtextextended(t.{column}::text COLLATE "C", 0) = {undo}.after_hash
  ));
COMMENT ON TABLE {undo} IS {mark}
