"""What the decision needs of a request's head."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Head(NamedTuple):
    """What the decision needs of a request's head.

    `path` and `query` are raw, without the `?` between them. `headers` are the raw values of the fields, in order, by
    their names in lower case. `content_length` is None when the body is chunked or there is none; `has_body` tells
    these apart as far as the head can: a chunked body may still turn out empty.
    """

    method: str
    path: str
    query: str
    headers: Mapping[bytes, Sequence[bytes]]
    request_id: str
    has_body: bool = False
    content_length: int | None = None

    def header(self, name: bytes) -> str | None:
        """Return the values of a header (lower-case `name`) as one text, None when it is absent."""
        values = self.headers.get(name)
        if values is not None and len(values) == 1:
            return values[0].decode("utf-8", "surrogateescape")
        return b", ".join(values).decode("utf-8", "surrogateescape") if values else None
