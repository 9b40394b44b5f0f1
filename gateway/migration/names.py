"""Names in PostgreSQL: of tables as the migration file spells them, of views, and those that the migration keeps."""

import re

LONGEST = 63  # bytes; the server cuts what is longer (PostgreSQL manual, "Identifiers and Key Words")
# What may stand in the schema of the migration's own tables under the name of one of them.
OWN = r"^(stage_migration_(targets|runs|batches|batches_open|invalid|seen|counts|guard|undo_[0-9]+)|stage_read_mode)$"
_PART = r'(?:"(?:[^"%]|"")+"|[^".%][^.%]*)'
TABLE = rf"^{_PART}(?:\.{_PART})?$"
_SUFFIX = "_stages"


def split(table: str, schema: str) -> tuple[str, str]:
    """Return schema and name of a table that is spelt as `TABLE` says; one that names no schema is in `schema`."""
    parts = [_bare(part) for part in re.findall(_PART, table)]
    return (schema, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def view_of(table: str) -> str:
    """Return the name of the view of a table for which none is named."""
    return table.encode()[: LONGEST - len(_SUFFIX)].decode(errors="ignore") + _SUFFIX


def is_own(name: str) -> bool:
    """Return whether the migration gives this name to an object of its own, in its schema or beside a table."""
    return re.match(OWN, name) is not None or name.startswith("stage_migration_index_")
