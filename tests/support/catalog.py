"""Everything that the catalog of a database knows of, counted and by name, to see what a command leaves behind."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

# Statistics come and go by themselves.
_CATALOGS = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared AND c.relname !~ 'statistic'
"""
_OBJECTS = """
SELECT o.type, o.identity
FROM (
  SELECT DISTINCT d.classid, d.objid FROM pg_depend AS d WHERE d.classid::regclass::text <> 'pg_statistic_ext'
) AS named
CROSS JOIN LATERAL pg_identify_object(named.classid, named.objid, 0) AS o
WHERE o.identity IS NOT NULL AND o.identity !~ 'pg_toast'
"""


def counts(connection: psycopg.Connection[Any]) -> Mapping[str, int]:
    """Return how many entries each catalog of the database has."""
    union = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {}").format(sql.Literal(name), sql.Identifier("pg_catalog", name))
        for (name,) in connection.execute(_CATALOGS).fetchall()
    )
    return dict(connection.execute(union).fetchall())


def objects(connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """Return every object that depends on another, as nearly all of a user's do, by kind and name."""
    return {(kind, identity) for kind, identity in connection.execute(_OBJECTS).fetchall()}
