"""The locks hold what pyproject.toml asks for: everything, one release each, with hashes, from no particular place."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCKS = {
    "requirements.lock": ("project", "dependencies"),
    "requirements-migration.lock": ("project", "optional-dependencies", "migration"),
    "requirements-build.lock": ("build-system", "requires"),
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# The oldest, and the image's.
PYTHONS = ("3.11", "3.13")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def asked(lock: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, of which this lock is to be the answer."""
    found: Any = project()
    for name in LOCKS[lock]:
        found = found[name]
    more = project()["project"]["dependencies"] if lock == "requirements-migration.lock" else []
    return [Requirement(one) for one in [*found, *more]]


def entries(lock: str) -> list[str]:
    """Return the entries of a lock, each with its hashes in one line."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pinned(lock: str) -> dict[str, Requirement]:
    """Return the requirements of a lock by name."""
    found = [Requirement(line.partition("--hash")[0]) for line in entries(lock)]
    return {canonicalize_name(one.name): one for one in found}


def release(requirement: Requirement) -> Version:
    [one] = requirement.specifier
    assert one.operator == "=="
    return Version(one.version)


def environment(python: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "extra": "",
    }


def applies(requirement: Requirement, extras: set[str], here: dict[str, str]) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({**here, "extra": extra}) for extra in ["", *extras]
    )


def needs_of(name: str, wanted: Version) -> list[Requirement] | None:
    """Return what a release needs; None when it is not the one that is installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:  # a package for another Python than this one
        return None
    return [Requirement(line) for line in found.requires or []] if Version(found.version) == wanted else None


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_one_release_with_hashes(lock: str) -> None:
    """Each entry names one release, in the form ==, and carries at least one SHA-256."""
    assert entries(lock)
    for entry in entries(lock):
        name, *rest = entry.split("--hash", 1)
        assert release(Requirement(name)), entry
        assert rest, entry
        assert re.sub(HASH, "", entry.removeprefix(name)).strip() == "", name


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_place(lock: str) -> None:
    """No address, no option but hashes and no path of a machine stands in a lock."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert set(re.findall(r"(?<!\S)-{1,2}[a-z][\w-]*", text)) == {"--hash"}
    assert not re.search(r"(?<!\S)[./]*/\w", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_answers_what_pyproject_asks(lock: str) -> None:
    """Every dependency of pyproject.toml is in the lock, at a release that it allows."""
    have = pinned(lock)
    for wanted in asked(lock):
        assert canonicalize_name(wanted.name) in have, f"{wanted.name} is missing: make lock"
        assert wanted.specifier.contains(release(have[canonicalize_name(wanted.name)])), f"{wanted}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-migration.lock"])
def test_the_lock_is_closed(lock: str, python: str) -> None:
    """What a locked package needs is locked too, as far as that very release is installed here, and nothing else."""
    have, here = pinned(lock), environment(python)
    waiting = [(canonicalize_name(one.name), frozenset(one.extras)) for one in asked(lock) if applies(one, set(), here)]
    seen: set[tuple[str, frozenset[str]]] = set()
    unknown = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name in have, f"{name} is missing: make lock"
        assert applies(have[name], set(), here), f"{name} is not locked for Python {python}"
        needs = needs_of(name, release(have[name]))
        if needs is None:
            unknown.add(name)
            continue
        waiting += [
            (canonicalize_name(one.name), frozenset(one.extras)) for one in needs if applies(one, set(extras), here)
        ]
    assert unknown or {name for name, one in have.items() if applies(one, set(), here)} == {name for name, _ in seen}


def test_both_images_have_the_same_gateway() -> None:
    """The larger lock has every entry of the smaller one, and the driver beside them."""
    assert set(entries("requirements.lock")) < set(entries("requirements-migration.lock"))
    assert "psycopg" in pinned("requirements-migration.lock")
    assert "psycopg" not in pinned("requirements.lock")


def test_the_build_group_is_what_the_build_needs() -> None:
    """The group that is locked for building names what build-system does."""
    assert project()["dependency-groups"]["build"] == project()["build-system"]["requires"]
