"""Foreign keys from and to the migrated tables: still valid, and in fact so."""

from psycopg import sql

from gateway.migration.database import Connection
from gateway.migration.verification.queries import query
from gateway.migration.verification.report import Report


def check(connection: Connection, report: Report) -> None:
    """Look for rows that refer to none, whatever the constraint says about itself."""
    report.check("foreign keys")
    for key in connection.execute(query("foreign_keys")).fetchall():
        place = f"{key['child_schema']}.{key['child']}, {key['name']}"
        if not key["validated"]:
            report.information.append(f"{place}: the constraint is NOT VALID")
        if not key["may_read"]:
            report.information.append(f"{place}: not checked, this role may not read both tables")
            continue
        orphans = query(
            "orphans",
            child=sql.Identifier(key["child_schema"], key["child"]),
            parent=sql.Identifier(key["parent_schema"], key["parent"]),
            child_columns=sql.SQL(", ").join(sql.Identifier("c", name) for name in key["child_columns"]),
            parent_columns=sql.SQL(", ").join(sql.Identifier("p", name) for name in key["parent_columns"]),
        )
        row = connection.execute(orphans).fetchone()
        if row is None or not row["rows"]:
            continue
        refer = "row refers" if row["rows"] == 1 else "rows refer"
        what = f"{row['rows']:,} {refer} to none in {key['parent']}"
        if key["validated"]:
            report.add("foreign keys", place, what)
        else:
            report.information.append(f"{place}: {what}, which may have been so before")
