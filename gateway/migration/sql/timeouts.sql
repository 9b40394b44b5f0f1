-- How long statements of this connection wait for locks now, and how long they may take.
SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement
