-- Whether a trigger is there, and, where one is given, has this argument.
SELECT EXISTS (
  SELECT FROM pg_trigger AS g
  JOIN pg_class AS c ON c.oid = g.tgrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND g.tgname = %(trigger)s
    AND (%(argument)s::text IS NULL OR g.tgargs = convert_to(%(argument)s::text, 'UTF8') || '\x00'::bytea)
) AS there
