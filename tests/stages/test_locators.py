"""Pointers, and the tree that locations are laid into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.locators import (
    Location,
    Node,
    Plan,
    Pointer,
    Role,
    Shape,
    escape,
    is_index,
    parse_pointer,
    pointer_to,
)


def roles(node: Node | None) -> set[Role]:
    assert node is not None
    return {check.role for check in node.checks}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        # RFC 6901, section 5
        ("", ()),
        ("/foo", ("foo",)),
        ("/foo/0", ("foo", "0")),
        ("/", ("",)),
        ("/a~1b", ("a/b",)),
        ("/c%d", ("c%d",)),
        ("/m~0n", ("m~n",)),
        ("/~01", ("~1",)),
        ("/a//b", ("a", "", "b")),
        ("/*/é", ("*", "é")),
    ],
)
def test_a_pointer_is_read_and_written(text: str, path: tuple[str, ...]) -> None:
    """A JSON Pointer becomes its unescaped segments, and they become it again."""
    assert parse_pointer(text) == path
    assert pointer_to(path) == text


@pytest.mark.parametrize("text", ["foo", "#/foo", "/~", "/a~", "/~2", "/~~01", "/~~10", " /a"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    """A text that does not begin with a slash, or has a stray tilde, is no JSON Pointer."""
    with pytest.raises(ValueError, match="JSON Pointer"):
        parse_pointer(text)


@given(st.lists(st.text(alphabet="~/01a*é", max_size=4)))
def test_writing_and_reading_a_pointer_gives_the_path_back(path: list[str]) -> None:
    """Any path survives being written as a pointer."""
    assert parse_pointer(pointer_to(path)) == tuple(path)


@given(st.lists(st.text(alphabet="~/01a*é", max_size=4)), st.sampled_from(["", "/x/*"]))
def test_a_place_is_its_pointer_when_it_is_called(path: list[str], rest: str) -> None:
    """A place made step by step makes the pointer of its path, and what follows on it."""
    assert Pointer.of(path)(rest) == pointer_to(path) + rest
    assert Pointer(Pointer.of(path), "last")() == pointer_to([*path, "last"])


def test_escaping_one_segment() -> None:
    """A tilde is escaped before a slash, so that neither is escaped twice."""
    assert escape("~/a") == "~0~1a"


@pytest.mark.parametrize(("name", "expected"), [("0", True), ("10", True), ("01", False), ("-", False), ("²", False)])
def test_an_index_has_no_leading_zero(name: str, expected: bool) -> None:
    """An array index is decimal digits without a leading zero."""
    assert is_index(name) is expected


def test_each_is_laid_as_array_elements_field_and_weight() -> None:
    """An each location expects an array, objects in it, a stage in them, and a weight when sums are asked for."""
    location = Location(Shape.EACH, ("items",), field="stage", weight="w")
    root = Plan.of([location], tolerance=0.1).root
    assert root is not None
    array = root.members["items"]
    assert array.elements is not None
    assert (roles(array), roles(array.elements)) == ({Role.EACH}, {Role.ELEMENT})
    assert {name: roles(node) for name, node in array.elements.members.items()} == {
        "stage": {Role.STAGE},
        "w": {Role.WEIGHT},
    }


def test_a_weight_nobody_sums_is_still_on_the_way() -> None:
    """Without a tolerance nothing is asked of a weight, but its name is guarded against standing twice."""
    root = Plan.of([Location(Shape.EACH, (), field="stage", weight="w")]).root
    assert root is not None
    assert root.elements is not None
    assert roles(root.elements.members["w"]) == set()


def test_a_star_stands_for_elements_and_members() -> None:
    """A star leads to every element and member, a name beside it to what both ask for."""
    plan = Plan.of([Location(Shape.VALUE, ("*", "x")), Location(Shape.VALUE, ("a",))])
    root = plan.root
    assert root is not None
    assert root.every is not None
    assert root.elements is not None
    assert roles(root.every.members["x"]) == {Role.STAGE}
    assert roles(root.members["a"]) == {Role.STAGE}
    assert set(root.members["a"].members) == {"x"}


def test_the_path_of_a_fund_is_laid_beside_the_stages() -> None:
    """The fund id in the body is one more place of the same tree."""
    root = Plan.of([Location(Shape.VALUE, ("stage",))], fund=("fund", "id")).root
    assert root is not None
    assert roles(root.members["fund"].members["id"]) == {Role.FUND}


def test_queries_need_no_body() -> None:
    """A plan of query locations alone has nothing to look for in a body."""
    plan = Plan.of([Location(Shape.QUERY, name="stage"), Location(Shape.QUERY, name="round")])
    assert plan.root is None
    assert [(number, location.name) for number, location in plan.queries] == [(0, "stage"), (1, "round")]
