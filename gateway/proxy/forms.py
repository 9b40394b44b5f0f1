"""Heads that come again and again: what is the same in them is looked at once.

A client says nearly the same with every request, and an upstream with every response. The *form* of a head is the head
without the values that differ from one message to the next and that nobody here looks into. What the gateway makes of
a form is made once, by the functions that make it of any head: they are given marks in place of these values, and
where the marks come out again the values of each message go in.

Only plain heads have a form (`plain.py`).
"""

import os
import re
from typing import Generic, TypeVar

from gateway.proxy.answers import AnswerError
from gateway.proxy.headers import IndexedFields, response_head
from gateway.proxy.plain import END, PlainResponse, is_one_chunk, plain_length, plain_request, plain_response
from gateway.proxy.request import REQUEST_ID, RequestHead, check_head, head_for_upstream
from gateway.proxy.response import ResponseHead, fields_of_ours

SHORT = 2048  # bytes of a head that may have a form
_MOST = 512  # forms that are remembered
_NUMBER = 4  # digits at the end of a mark
_VALUE = rb": ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)(?=\r\n|\Z)"
_OF_REQUESTS = re.compile(rb"\r\n(content-length|x-request-id|traceparent|tracestate)" + _VALUE, re.IGNORECASE)
_OF_RESPONSES = re.compile(rb"\r\n(content-length|date|etag|last-modified|expires)" + _VALUE, re.IGNORECASE)
_Form = TypeVar("_Form")


class _Template:
    """Bytes with slots, made of bytes in which marks stand (`_marks`)."""

    __slots__ = ("_pieces", "_slots")

    def __init__(self, marked: bytes, marks: list[bytes]) -> None:
        first, *others = marked.split(marks[0][:-_NUMBER])
        self._pieces, self._slots = [first], []
        for other in others:
            self._slots.append((len(self._pieces), int(other[:_NUMBER], 16)))
            self._pieces += b"", other[_NUMBER:]

    def filled(self, values: list[bytes]) -> bytes:
        """Return the bytes, with a value for each mark."""
        pieces = self._pieces.copy()
        for at, slot in self._slots:
            pieces[at] = values[slot]
        return b"".join(pieces)


class RequestForm:
    """The fields of plain requests that differ in nothing but the values of some.

    `length_at` and `id_at` are where the Content-Length and the client's own id stand among those, None without one.
    """

    __slots__ = ("_fields", "_names", "_templates", "id_at", "length_at")

    def __init__(self, fields: IndexedFields, names: list[bytes]) -> None:
        self._names = [name.lower() for name in names]
        self._fields = fields
        self.length_at = self._at(b"content-length")
        self.id_at = self._at(b"x-request-id")
        self._templates: dict[bool, _Template] = {}

    def _at(self, name: bytes) -> int | None:
        return self._names.index(name) if name in self._names else None

    def _template(self, *, inspected: bool) -> _Template:
        marks = _marks(len(self._names) + 2)
        client, fresh, *others = marks
        fields = _with_values(self._fields, self._names, others)
        head = RequestHead.of("GET", "/", (1, 1), fields, client.decode(), iter([fresh.decode()]))
        _, _, marked = head_for_upstream(head, b"", inspected=inspected).partition(b"\r\n")
        return _Template(b"\r\n" + marked, marks)

    def for_upstream(self, client: bytes, fresh: bytes, values: list[bytes], *, inspected: bool) -> bytes:
        """Return the fields as they go upstream, each behind its line break, and their empty line.

        `fresh` is the id of a request without one.
        """
        template = self._templates.get(inspected)
        if template is None:
            template = self._templates[inspected] = self._template(inspected=inspected)
        return template.filled([client, fresh, *values])

    def length(self, values: list[bytes]) -> int | None:
        """Return how many bytes of body there are, None where that is not plainly said."""
        return 0 if self.length_at is None else plain_length(values[self.length_at])

    def fields(self, values: list[bytes]) -> IndexedFields:
        """Return the fields with these values."""
        return _with_values(self._fields, self._names, values)

    def named(self, values: list[bytes]) -> dict[bytes, list[bytes]]:
        """Return the values of all fields by their names in lower case."""
        named = self._fields.named.copy()
        for name, value in zip(self._names, values, strict=True):
            named[name] = [value]
        return named


class ResponseForm:
    """The heads of plain responses that differ in nothing but the values of some fields.

    `length_at` is where the Content-Length stands among those, None where the body comes in chunks.
    """

    __slots__ = ("_templates", "length_at", "status")

    def __init__(self, response: PlainResponse, names: list[bytes]) -> None:
        lowered = [name.lower() for name in names]
        self.status = response.status
        self.length_at = None if response.is_chunked else lowered.index(b"content-length")
        marks = _marks(len(names) + 1)
        fields = _with_values(response.fields, lowered, marks[1:])
        head = ResponseHead.of(response.status, response.reason, response.fields, "GET")
        ours = fields_of_ours(head, chunked=response.is_chunked, request_id=marks[0].decode())
        self._templates = {
            inspected: _Template(
                response_head(response.status, response.reason, fields, added=ours, inspected=inspected), marks
            )
            for inspected in (False, True)
        }

    def has_whole(self, values: list[bytes], body: bytes) -> bool:
        """Whether the body of such a response is exactly this, as it goes to the client."""
        if self.length_at is None:
            return is_one_chunk(body)
        return plain_length(values[self.length_at]) == len(body)

    def for_client(self, request_id: bytes, values: list[bytes], *, inspected: bool) -> bytes:
        """Return the head that goes to the client of a request of this id, whose connection lives on."""
        return self._templates[inspected].filled([request_id, *values])


class _Memory(Generic[_Form]):
    """The forms that were met, None for what has none."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], _Form | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: tuple[bytes, ...]) -> bool:
        return key in self._known

    def get(self, key: tuple[bytes, ...]) -> _Form | None:
        return self._known.get(key)

    def keep(self, key: tuple[bytes, ...], form: _Form | None) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()  # whoever sends ever new forms pays for it
        self._known[key] = form


class Forms:
    """The forms that one process has met."""

    def __init__(self) -> None:
        self._requests: _Memory[RequestForm] = _Memory()
        self._responses: _Memory[ResponseForm] = _Memory()

    def of_request(self, fields: bytes) -> tuple[RequestForm, list[bytes]] | None:
        """Return the form of a request's fields, each behind its line break, and its values; None where it has none."""
        key, names, values = _taken_apart(_OF_REQUESTS, fields)
        form = self._requests.get(key)
        if form is None:
            if key in self._requests:
                return None
            form = _request_form(_with_any_length(key, names, values), names)
            self._requests.keep(key, form)
            if form is None:
                return None
        if form.id_at is not None and not REQUEST_ID.fullmatch(values[form.id_at]):
            return None
        return form, values

    def of_response(self, head: bytes) -> tuple[ResponseForm, list[bytes]] | None:
        """Return the form of a response's head and its values; None where it has none."""
        key, names, values = _taken_apart(_OF_RESPONSES, head)
        form = self._responses.get(key)
        if form is None:
            if key in self._responses:
                return None
            response = plain_response(_with_any_length(key, names, values))
            form = None if response is None else ResponseForm(response, names)
            self._responses.keep(key, form)
        return None if form is None else (form, values)


def _with_any_length(key: tuple[bytes, ...], names: list[bytes], values: list[bytes]) -> bytes:
    """Return a head of this form whose length is plain: one that is not says nothing of the others."""
    pieces = [key[0]]
    for name, value, behind in zip(names, values, key[2::2], strict=True):
        pieces += b"\r\n", name, b": ", b"1" if name.lower() == b"content-length" else value, behind
    return b"".join(pieces)


def _request_form(fields: bytes, names: list[bytes]) -> RequestForm | None:
    request = plain_request(b"GET / HTTP/1.1" + fields + END)
    if request is None:
        return None
    head = RequestHead.of("GET", "/", (1, 1), request.fields, "", iter([""]))
    try:
        check_head(head, SHORT * 2)
    except AnswerError:
        return None
    return RequestForm(request.fields, names)


def _taken_apart(varying: re.Pattern[bytes], head: bytes) -> tuple[tuple[bytes, ...], list[bytes], list[bytes]]:
    """Return what is the same in a head whenever it comes, and the names and values of what differs."""
    parts = varying.split(head)
    values = parts[2::3]
    del parts[2::3]
    return tuple(parts), parts[1::2], values


def _with_values(fields: IndexedFields, names: list[bytes], values: list[bytes]) -> IndexedFields:
    new = dict(zip(names, values, strict=True))
    return IndexedFields([(name, new.get(name.lower(), value)) for name, value in fields])


def _marks(number: int) -> list[bytes]:
    """Return values that stand nowhere else: a number each, behind 112 random bits that are the same in all."""
    same = os.urandom(14).hex()
    return [f"{same}{at:0{_NUMBER}x}".encode() for at in range(number)]
