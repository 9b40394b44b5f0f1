"""The head of an upstream's response, and what it says of the body behind it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from gateway.proxy.headers import IndexedFields

_NO_BODY = frozenset({204, 304})


class ResponseHead(NamedTuple):
    """The head of a response: raw reason and headers. `length` None with `chunked` false means: until the end."""

    status: int
    reason: bytes
    headers: IndexedFields
    chunked: bool
    length: int | None
    has_body: bool

    @classmethod
    def of(cls, status: int, reason: bytes, headers: IndexedFields, method: str) -> "ResponseHead":
        """Make the head of a final response to a request of this method.

        llhttp has refused what contradicts itself. Raises ValueError for another transfer coding than chunked.
        """
        chunked, length = _framing(headers.named)
        has_body = method != "HEAD" and status not in _NO_BODY and length != 0
        return cls(status, reason, headers, chunked, length, has_body)

    @property
    def delimited(self) -> bool:
        """Whether the body's end can be told from the connection's."""
        return self.chunked or self.length is not None or not self.has_body


def fields_of_ours(head: ResponseHead, *, chunked: bool, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the fields that the gateway adds to any response; `chunked` says how its body goes to the client."""
    fields = []
    if chunked and head.status not in _NO_BODY:
        fields.append((b"Transfer-Encoding", b"chunked"))
    if b"x-request-id" not in head.headers.named:
        fields.append((b"X-Request-Id", request_id.encode("ascii")))
    return fields


Interim: TypeAlias = Callable[[ResponseHead], None]


def _framing(named: Mapping[bytes, list[bytes]]) -> tuple[bool, int | None]:
    """Return (chunked, content length) of a response.

    Raises ValueError for another transfer coding than chunked: it belongs to this hop (RFC 9112, section 6.1), and
    the client would get coded bytes without being told.
    """
    length = None
    for value in named.get(b"content-length", ()):
        length = int(value)
    given = named.get(b"transfer-encoding")
    if given is None:
        return False, length
    # Spaces, not tabs: llhttp takes a tab for part of the name, and has to agree on the framing.
    if b",".join(given).strip(b" ").lower() != b"chunked":
        raise ValueError("it has a transfer coding other than chunked")
    return True, None
