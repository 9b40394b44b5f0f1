"""The verifier: asks the database whether the migration did what it should, without the migration's own means.

It shares the vocabulary with the migration, and the names of the tables it reads. Its SQL is its own, and what a value
should have become is worked out here a second time, in Python, with decimals.
"""
