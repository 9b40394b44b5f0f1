"""`stage-gateway check --against`, while a migration is under way and when it is not."""

import json
import shutil
from pathlib import Path

import pytest
from support.clock import PATIENCE
from support.migration import CONFIG, Migration
from support.process import Serve

NEW = {"canonical": ["seed", "series-a"]}


def test_vocabulary_of_a_migration_under_way(
    migration: Migration, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with another vocabulary is warned of while a run goes on, or was killed, and not before and after."""
    monkeypatch.chdir(migration.folder)
    Path("config").mkdir()
    url = f"http://127.0.0.1:{serve(CONFIG).admin}"
    Path("new.json").write_text(json.dumps({**CONFIG, "vocabulary": NEW}), encoding="utf-8")
    migration.specify(batchRows=5)
    shutil.copy(migration.spec, "config/migration.json")

    def kinds(file: str) -> list[str]:
        made = migration.plainly("check", "--config", file, "--against", url, "--json")
        found = [caution["kind"] for caution in json.loads(made.out)["cautions"]]
        assert made.code == (1 if found else 0), made
        return found

    assert kinds("new.json") == []
    process = migration.start("migrate", "run", "--no-snapshot")
    assert process.stdout is not None
    assert all(process.stdout.readline() for _ in range(3))
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert kinds("new.json") == ["vocabulary"]
    assert kinds(str(migration.config)) == []
    Path("config/migration.json").unlink()
    assert kinds("new.json") == ["vocabulary"]  # nobody knows
    shutil.copy(migration.spec, "config/migration.json")
    migration.migrated()
    assert kinds("new.json") == []
    away = migration.plainly("check", "--config", "new.json", "--against", url, url="postgresql:///x?host=/nowhere")
    assert away.code == 3
