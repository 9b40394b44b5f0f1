"""Foreign keys from and to the migrated tables: still valid, and in fact so."""

from collections.abc import Mapping, Sequence
from typing import Any

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
        row = connection.execute(_orphans(key)).fetchone()
        if row is None or not row["rows"]:
            continue
        refer = "row refers" if row["rows"] == 1 else "rows refer"
        what = f"{row['rows']:,} {refer} to none in {key['parent']}"
        if key["validated"]:
            report.add("foreign keys", place, what)
        else:
            report.information.append(f"{place}: {what}, which may have been so before")


def _orphans(key: Mapping[str, Any]) -> sql.Composed:
    child = [sql.Identifier("c", name) for name in key["child_columns"]]
    parent = [sql.Identifier("p", name) for name in key["parent_columns"]]
    tables = {side: sql.Identifier(key[f"{side}_schema"], key[side]) for side in ("child", "parent")}
    if not key["over_a_period"]:
        return query("orphans", **tables, **_joined(child, parent, key["operators"]))
    *child, child_period = child  # the period stands last
    *parent, parent_period = parent
    slots = _joined(child, parent, key["operators"][:-1])
    return query("uncovered", **tables, **slots, child_period=child_period, parent_period=parent_period)


def _joined(
    child: Sequence[sql.Composable], parent: Sequence[sql.Composable], operators: Sequence[Any]
) -> dict[str, sql.Composable]:
    equal = [
        sql.SQL("{} {} {}").format(above, sql.SQL(operator), below)
        for above, operator, below in zip(parent, operators, child, strict=True)
    ]
    return {"child_columns": sql.SQL(", ").join(child), "match": sql.SQL(" AND ").join(equal)}
