"""Whether a document says something twice: the slow reader that sees every name.

It is asked only about documents that orjson accepted and whose bytes look suspicious. It does not recurse, and
stops at the first ambiguity. Duplicate names: RFC 8259, section 4, leaves their meaning to the reader.
"""

import ijson

from gateway.stages.locators import Node, Role

PROTOTYPE = "__proto__"


class _Frame:
    """An open object or array on the way down: the node it stands at, the names seen, the next index."""

    __slots__ = ("every", "index", "is_object", "name", "node", "seen")

    def __init__(self, node: Node | None, *, is_object: bool) -> None:
        self.node = node
        self.is_object = is_object
        self.seen: set[str] = set()
        self.name = ""
        self.index = -1
        self.every = node is not None and (node.every is not None or node.has(Role.KEYS))

    def guards(self, name: str) -> bool:
        """Whether a location goes through the member `name` here."""
        return self.node is not None and (self.every or name in self.node.members)

    def child(self) -> Node | None:
        """Return the node of the value that comes next."""
        node = self.node
        if node is None:
            return None
        if self.is_object:
            return node.members.get(self.name, node.every)
        self.index += 1
        return node.indices.get(str(self.index), node.elements) if node.indices else node.elements


def is_ambiguous(body: bytes, root: Node) -> bool:
    """Whether a name that a location goes through stands twice in one object, or `__proto__` beside it.

    Raises ValueError for a document that this reader refuses although orjson did not, such as one with a number
    whose exponent no Decimal holds.
    """
    try:
        return _find(body, root)
    except (ijson.JSONError, ArithmeticError) as refusal:
        raise ValueError(str(refusal)) from refusal


def _find(body: bytes, root: Node) -> bool:
    stack: list[_Frame] = []
    for event, value in ijson.basic_parse(body):
        if event == "map_key":
            frame = stack[-1]
            frame.name = value
            if not frame.guards(value):
                if value == PROTOTYPE and frame.node is not None and frame.node.members:
                    return True
                continue
            if value in frame.seen or value == PROTOTYPE:
                return True
            frame.seen.add(value)
        elif event in ("start_map", "start_array"):
            node = stack[-1].child() if stack else root
            stack.append(_Frame(node, is_object=event == "start_map"))
        elif event in ("end_map", "end_array"):
            stack.pop()
        elif stack and not stack[-1].is_object:
            stack[-1].child()
    return False
