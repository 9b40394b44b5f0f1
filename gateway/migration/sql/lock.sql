-- One run at a time in a database. The lock belongs to the session, so it goes with the process, however that ends.
SELECT pg_try_advisory_lock(hashtextextended('stage-gateway migrate', 0)) AS taken
