-- Numbers a column among the migration's own tables; the names the guard knows follow the present vocabulary.
INSERT INTO stage_migration_targets AS known (identity, canonical, accepted)
VALUES (%(identity)s, %(canonical)s, %(accepted)s)
ON CONFLICT (identity) DO UPDATE SET canonical = excluded.canonical, accepted = excluded.accepted
  WHERE (known.canonical, known.accepted) IS DISTINCT FROM (excluded.canonical, excluded.accepted)
