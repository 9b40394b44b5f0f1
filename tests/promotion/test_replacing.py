"""A file is replaced whole or not at all, by one at a time, and the old one is kept."""

import os
import stat
from pathlib import Path

import pytest

from gateway.errors import RefusedError, UnreachableError
from gateway.promotion.replacing import locked, read, replace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "gateway.json"
    found.write_text("old")
    return found


def test_old_one_is_kept(file: Path) -> None:
    """The old file stands beside the new one, and nothing else is left."""
    file.chmod(0o640)
    replace(file, "new é")
    assert (file.read_text(), file.with_name("gateway.json.before").read_text()) == ("new é", "old")
    assert sorted(found.name for found in file.parent.iterdir()) == ["gateway.json", "gateway.json.before"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner_stays(file: Path) -> None:
    """The new file belongs to whom the old one did."""
    os.chown(file, 1234, 1235)
    replace(file, "new")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)


def test_link_stays_one(file: Path) -> None:
    """A link to the file leads to the new one."""
    link = file.parent / "elsewhere" / "link.json"
    link.parent.mkdir()
    link.symlink_to(file)
    replace(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_missing_file_is_made(tmp_path: Path) -> None:
    """Where there is none, one is made, and there is nothing to keep."""
    replace(tmp_path / "f", "new")
    assert [found.name for found in tmp_path.iterdir()] == ["f"]


def test_what_an_interrupted_one_left_is_taken_away(file: Path) -> None:
    """A half-written new file of somebody who was killed stands in nobody's way."""
    file.with_name("gateway.json.new").write_text("ha")
    file.with_name("gateway.json.new").chmod(0o400)
    replace(file, "new")
    assert file.read_text() == "new"
    assert not file.with_name("gateway.json.new").exists()


def test_read_only(file: Path) -> None:
    """A file that nobody may write, and one in a folder that there is not, are told with the cure."""
    file.chmod(0o444)
    with pytest.raises(UnreachableError, match=r"may be written by nobody \(mode 444\).*--output"):
        replace(file, "new")
    assert file.read_text() == "old"
    with pytest.raises(UnreachableError, match="No such file or directory"):
        replace(file.parent / "none" / "f", "new")


def test_one_at_a_time(file: Path) -> None:
    """While one changes the file another is told who; afterwards it is free, by whatever path it is named."""
    link = file.parent / "link"
    link.symlink_to(file)
    with locked(file, "ann@host"), pytest.raises(RefusedError, match=r"is being changed by ann@host \(process"):
        locked(link, "bob@host").__enter__()
    with locked(link, "bob@host"):
        pass


def test_read(file: Path) -> None:
    """A missing file is none; one that is no text is told."""
    assert read(file) == "old"
    assert read(file.with_name("none")) is None
    file.write_bytes(b"\xff")
    with pytest.raises(RefusedError, match="no UTF-8"):
        read(file)
    with pytest.raises(UnreachableError, match="Is a directory"):
        read(file.parent)
