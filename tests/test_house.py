"""What all files keep to: a test never fails for the machine it runs on, and no module of the gateway keeps state."""

import ast
import dataclasses
import enum
import functools
import importlib
import logging
import re
import struct
import types
import typing
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path, PurePath
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
from support.tiers import TESTS

CLOCK = TESTS / "support" / "clock.py"
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
FILES = sorted(file for file in TESTS.rglob("*.py") if "node_modules" not in file.parts)

GATEWAY = TESTS.parent / "gateway"
MODULES = sorted(
    ".".join(file.relative_to(TESTS.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in GATEWAY.rglob("*.py")
)
# Types whose instances never change.
VALUES = (
    *(
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        Decimal,
        enum.Enum,
        PurePath,
        re.Pattern,
        struct.Struct,
    ),
    *(type, types.FunctionType, types.BuiltinFunctionType, functools.partial, types.GenericAlias, types.UnionType),
    *(typing.TypeVar, typing.ParamSpec, logging.Logger),
)
# The same, of modules that not every test may import, or that have no name for people.
VALUES_BY_NAME = {"psycopg.sql.Composable", "functools._lru_cache_wrapper", "typing._GenericAlias", "typing._Final"}
TO_BE_MENDED = {  # by issue 12
    "gateway.rollout.policy._STRICTNESS",
    "gateway.stages.incremental._CONTAINERS",
    "gateway.stages.vocabulary._SEPARATORS",
}


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


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Find the statements that run when a module is imported, but for what makes functions and classes."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                continue
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                for inner in ("body", "orelse", "finalbody"):
                    yield from at_import(getattr(node, inner, ()))
                for handler in getattr(node, "handlers", ()):
                    yield from at_import(handler.body)
            case _:
                yield node


def is_constant(value: Any) -> bool:
    """Whether nothing that is done with a value changes it."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__}
    if isinstance(value, VALUES) or names & VALUES_BY_NAME:
        return True
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_constant, value))
    if isinstance(value, MappingProxyType):
        return all(map(is_constant, value.values()))
    settings = getattr(type(value), "__dataclass_params__", None)
    return settings is not None and settings.frozen and all(map(is_constant, dataclasses.astuple(value)))


def kept_state(tree: ast.Module, module: ModuleType) -> Iterator[str]:
    """Find what a module keeps between calls, or does to another one when it is imported."""
    for node in at_import(tree.body):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            yield f"line {node.lineno}: {ast.unparse(node)}: is done at import; do it in a function"
        bound = [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        for name in bound:
            given = vars(module).get(name)  # nothing is bound by a comprehension
            if f"{module.__name__}.{name}" not in TO_BE_MENDED and not is_constant(given):
                yield f"line {node.lineno}: {name}: can be changed; make it read-only, or make it in a function"
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Global):
            yield f"line {inner.lineno}: global {', '.join(inner.names)}: pass it on instead"


@pytest.mark.parametrize("name", MODULES)
def test_no_module_keeps_state(name: str) -> None:
    """What a module of the gateway binds at import never changes, and its import does nothing else."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert list(kept_state(ast.parse(Path(module.__file__).read_text(encoding="utf-8")), module)) == []


@pytest.mark.parametrize(
    "source",
    [
        "SEEN = {}",
        "SEEN: Mapping[str, str] = {'a': 'b'}",
        "ALL = [1]",
        "LOCK = asyncio.Lock()",
        "PAIR = ('a', ['b'])",
        "TABLE = MappingProxyType({'a': {}})",
        "if True:\n    KNOWN = set()",
        "def f():\n    global SEEN\n    SEEN = 1",
        "print()",
    ],
)
def test_kept_state_is_found(source: str) -> None:
    """A registry, a lock, a list within a tuple, a global, and a call at import are told."""
    module = ModuleType("sample")
    exec(
        "import asyncio\nfrom collections.abc import Mapping\nfrom types import MappingProxyType\n" + source,
        vars(module),
    )
    assert len(list(kept_state(ast.parse(source), module))) == 1


@pytest.mark.parametrize("source", ["ALL = ('a', frozenset({1}))", "T = MappingProxyType({'a': (1,)})", "B = sorted"])
def test_constants_are_let_be(source: str) -> None:
    """What is read-only to its depth may stand in a module."""
    module = ModuleType("sample")
    exec("from types import MappingProxyType\n" + source, vars(module))
    assert list(kept_state(ast.parse(source), module)) == []
