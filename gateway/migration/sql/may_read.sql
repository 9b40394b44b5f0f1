-- Whether a role may read a table.
SELECT has_table_privilege(%(role)s, format('%%I.%%I', %(schema)s::text, %(table)s::text), 'SELECT') AS may
