"""What people are told is in words of this project: nothing of a library's own, nothing of Python's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path("gateway")
FILES = sorted(GATEWAY.rglob("*.py"))
BUILT_IN = {"ValueError", "Exception", "OSError", "KeyError", "TypeError", "TimeoutError"}
# Where a caught error's own text is told although others could raise it too, and why that is all right.
TOLD = {
    (
        "gateway/migration/database.py",
        "OperationalError",
    ): "libpq alone knows why nobody answers, and names no password",
    ("gateway/server/reload.py", "Exception"): "only once it is known to be a ConfigurationError",
    ("gateway/rules/model.py", "ValueError"): "parse_pointer is the only one to raise there",
    ("gateway/rules/load.py", "ValueError"): "_tls makes lines of ours; no_json takes only the place out of a reader's",
}


def own_errors() -> set[str]:
    trees = (ast.parse(path.read_text()) for path in GATEWAY.rglob("*.py"))
    named = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return {name for name in named if name.endswith("Error")} - BUILT_IN


def names(caught: ast.expr | None) -> list[str]:
    if isinstance(caught, ast.Tuple):
        return [name for one in caught.elts for name in names(one)]
    return [] if caught is None else [ast.unparse(caught).rpartition(".")[2]]


def told(handler: ast.ExceptHandler) -> Iterator[int]:
    """Yield the lines in which a handler puts the error that it caught into a text."""
    for node in ast.walk(handler):
        if isinstance(node, ast.FormattedValue):
            value: ast.expr = node.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"str", "repr"} and node.args:
            value = node.args[0]
        else:
            continue
        if isinstance(value, ast.Name) and value.id == handler.name:
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_text_of_a_library_is_told(path: Path) -> None:
    """An error that was caught is put into a text only when its class, and so its text, is ours."""
    ours = own_errors()
    for handler in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)):
        foreign = [n for n in names(handler.type) if n not in ours and (path.as_posix(), n) not in TOLD]
        lines = list(told(handler))
        assert not (foreign and lines), f"{path}:{lines}: tells the text of {foreign}"


def test_the_check_sees_a_text_of_a_library() -> None:
    """The check above finds a text in an f-string, and one made by str()."""
    source = "try:\n  f()\nexcept OSError as e:\n  g(f'{e}')\n  g(str(e))\n  g(e.errno)\n"
    [handler] = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert (names(handler.type), sorted(told(handler))) == (["OSError"], [4, 5])
