-- Puts down that an index of ours is about to be built, or is gone.
UPDATE stage_migration_targets AS known SET index_begun = %(begun)s WHERE known.target_id = %(target)s
