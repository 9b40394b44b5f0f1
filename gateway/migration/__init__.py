"""The migration: makes stages that are stored in PostgreSQL canonical, and undoes it exactly.

Rules of the room:

- SQL lives in `sql/`, one purpose a file. Identifiers are composed, values are parameters. The one exception is DDL,
  which PostgreSQL does not let take parameters; there the driver quotes them.
- What a name means is decided in Python, by the vocabulary, over the distinct names of the database. SQL joins that
  exact map and never trims, lowers or guesses.
- Data, undo rows and the batch's `done` commit together. Nothing else is remembered between two batches, so that a
  run may be killed at any moment.
- Errors of the driver are translated at one seam, `database.py`.
"""
