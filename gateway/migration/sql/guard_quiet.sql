-- Lets the guard look away from this transaction's own writes: no other sees the change, which is taken back before it
-- commits, and no role but the migration's can make it. Returns the mode to go back to.
WITH before AS (
  SELECT s.mode FROM stage_migration_guard AS s FOR UPDATE
)
UPDATE stage_migration_guard AS g SET mode = 'off' FROM before RETURNING before.mode AS mode
