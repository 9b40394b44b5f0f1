-- The migration's own tables. Made when a run first starts, removed by finish. All are append-only or have few rows:
-- nothing that application traffic touches is updated in place, so that no two transactions wait for each other here.
CREATE TABLE stage_migration_targets (
  target_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  identity jsonb NOT NULL UNIQUE,             -- schema, table, column, key, fund, shape, field, weight, view
  canonical text[] NOT NULL,                  -- names that are canonical, for the guard
  accepted text[] NOT NULL,                   -- names the guard lets in while it refuses
  rows_at_start bigint,
  nulls_at_start bigint,
  weights_off_at_start bigint,
  index_begun boolean NOT NULL DEFAULT false  -- what has the index's name is ours, also when its build broke off
);
CREATE TABLE stage_migration_runs (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'undoing', 'undone')),
  paused boolean NOT NULL DEFAULT false,
  fingerprint text NOT NULL,
  vocabulary json NOT NULL,                   -- as the fingerprint is of; json, since jsonb must be able to hold names
  targets jsonb NOT NULL,
  snapshot text NOT NULL,
  on_invalid text NOT NULL,
  waiting_for text,
  last_error text,
  started_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE TABLE stage_migration_batches (
  batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES stage_migration_runs,
  target_id integer NOT NULL REFERENCES stage_migration_targets,
  round integer NOT NULL,                     -- 1 the first pass, 2 and on sweeps, 0 undo
  fund text,                                  -- NULL: rows without one, or of several
  joined boolean NOT NULL DEFAULT false,      -- rows of several small funds
  range_start text NOT NULL,
  range_end text NOT NULL,
  keys text[],                                -- what is to be looked at; emptied when done
  row_count integer NOT NULL,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'done', 'failed')),
  attempts integer NOT NULL DEFAULT 0,
  updated integer,
  skipped_invalid integer,
  undo_rows integer,                          -- undo rows added, negative when taken away
  duration_ms integer,
  last_error text,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stage_migration_batches_open
  ON stage_migration_batches (run_id, batch_id) WHERE status <> 'done';
CREATE TABLE stage_migration_invalid (
  entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- rows of a published table without a key cannot be deleted
  run_id bigint NOT NULL,
  target_id integer NOT NULL,
  key text NOT NULL,
  value text,
  reason text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stage_migration_seen (   -- what the guard saw come in
  target_id integer NOT NULL,
  key text NOT NULL,
  operation text NOT NULL,
  name text,                                        -- NULL: a row came in with no stage
  seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stage_migration_counts ( -- rows that came and went, one entry a statement
  table_schema text NOT NULL,
  table_name text NOT NULL,
  change bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stage_migration_guard (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  mode text NOT NULL CHECK (mode IN ('record', 'refuse', 'off'))
);
INSERT INTO stage_migration_guard (mode) VALUES ('record');
CREATE TABLE stage_read_mode (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  mode text NOT NULL CHECK (mode IN ('canonical', 'legacy')),
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL DEFAULT session_user
);
INSERT INTO stage_read_mode (mode) VALUES ('canonical');
COMMENT ON TABLE stage_migration_targets IS {mark};
COMMENT ON TABLE stage_migration_runs IS {mark};
COMMENT ON TABLE stage_migration_batches IS {mark};
COMMENT ON TABLE stage_migration_invalid IS {mark};
COMMENT ON TABLE stage_migration_seen IS {mark};
COMMENT ON TABLE stage_migration_counts IS {mark};
COMMENT ON TABLE stage_migration_guard IS {mark};
COMMENT ON TABLE stage_read_mode IS {mark};
COMMENT ON INDEX stage_migration_batches_open IS {mark}
