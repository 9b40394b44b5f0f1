-- Asks the server whether it lets the column be written at all, which it says before it looks for rows. Writes nothing.
EXPLAIN UPDATE {table} AS t SET {column} = t.{column} WHERE false
