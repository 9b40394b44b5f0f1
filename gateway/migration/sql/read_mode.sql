-- The one row that decides for all views. No lock on any table of the application.
UPDATE stage_read_mode AS m
SET mode = %(mode)s, changed_at = clock_timestamp(), changed_by = session_user
WHERE m.mode <> %(mode)s
