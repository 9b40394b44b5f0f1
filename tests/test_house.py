"""What all tests keep to, so that none fails for the machine it runs on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tiers import TESTS

CLOCK = TESTS / "support" / "clock.py"
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
FILES = sorted(file for file in TESTS.rglob("*.py") if "node_modules" not in file.parts)


def breaches(tree: ast.AST) -> Iterator[str]:
    """Find what a test does not do, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            yield f"line {node.lineno}: {node.attr}: use within, at_least or eventually of support.clock"
        if isinstance(node, ast.keyword) and node.arg == "max_examples":
            by = node.value.func if isinstance(node.value, ast.Call) else None
            if not (isinstance(by, ast.Name) and by.id == "examples"):
                yield f"line {node.value.lineno}: max_examples: say examples(usual, long) of support.length"


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(TESTS)) for file in FILES])
def test_clocks_and_lengths_have_one_place(file: Path) -> None:
    """No test holds a busy machine against the project: `support.clock` gives ten times the room.

    The bench measures, and judges nothing.
    """
    if file != CLOCK and TESTS / "bench" not in file.parents:
        assert list(breaches(ast.parse(file.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    ["begin = 1\nassert time.monotonic() - begin < 0.1", "time.perf_counter()", "settings(max_examples=9)"],
)
def test_breach_is_found(source: str) -> None:
    """A clock that a test reads by itself, and a length that nobody can choose, are told with their line."""
    assert [breach.split(":")[0] for breach in breaches(ast.parse(source))] == [f"line {source.count(chr(10)) + 1}"]
