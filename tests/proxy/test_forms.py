"""Forms of heads: what is made of a form and its values is what the functions make of the head itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.length import examples

from gateway.proxy.forms import Forms
from gateway.proxy.headers import IndexedFields, response_head
from gateway.proxy.plain import END, LARGEST, is_one_chunk, plain_request, plain_response
from gateway.proxy.request import RequestHead, head_for_upstream
from gateway.proxy.response import ResponseHead, fields_of_ours

value = st.from_regex(r"\A[!-~]([ -~]{0,10}[!-~])?\Z").map(str.encode)
number = st.integers(0, 300_000).map(lambda n: b"%d" % n)
identity = st.from_regex(r"\A[!-~]{1,20}\Z").map(str.encode)
cased = st.sampled_from([bytes.lower, bytes.upper, bytes.title])


def field(name: bytes, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(cased, values).map(lambda drawn: drawn[0](name) + b": " + drawn[1])


odd = st.tuples(st.from_regex(r"\A[A-Za-z!-]{1,8}\Z").map(str.encode), value).map(b": ".join)
of_requests = st.lists(
    field(b"content-length", number)
    | field(b"x-request-id", identity)
    | field(b"x-request-id", value)
    | field(b"traceparent", value)
    | field(b"tracestate", value)
    | field(b"connection", st.just(b"keep-alive"))
    | field(b"keep-alive", value)
    | field(b"via", value)
    | field(b"x-forwarded-for", value)
    | field(b"x-forwarded-host", value)
    | field(b"x-stage-warning", value)
    | field(b"content-type", value)
    | odd,
    max_size=6,
).map(lambda lines: b"".join(b"\r\n" + line for line in [b"Host: a.test", *lines]))
of_responses = st.lists(
    field(b"date", value)
    | field(b"etag", value)
    | field(b"x-request-id", value)
    | field(b"connection", st.just(b"keep-alive"))
    | field(b"keep-alive", value)
    | field(b"x-stage-warning", value)
    | odd,
    max_size=6,
)


@settings(max_examples=examples(1_000, 50_000), deadline=None, database=None)
@given(fields=of_requests, second=of_requests, inspected=st.booleans())
def test_request(fields: bytes, second: bytes, inspected: bool) -> None:
    """A plain head goes upstream as its form says, byte for byte as it does by itself, however often its form came."""
    forms = Forms()
    for sent in (fields, second, fields):
        found = forms.of_request(sent)
        length = None if found is None else found[0].length(found[1])
        if found is None or length is None or length > LARGEST:
            continue
        plain = plain_request(b"GET /a HTTP/1.1" + sent + END)
        assert plain is not None, "nothing but plain requests has a form"
        form, values = found
        head = RequestHead.of("GET", "/a", (1, 1), plain.fields, "192.0.2.7", iter(["fresh"]))
        by_itself = head_for_upstream(head, b"", inspected=inspected)
        by_form = b"GET /a HTTP/1.1" + form.for_upstream(b"192.0.2.7", b"fresh", values, inspected=inspected)
        assert by_form == by_itself
        assert form.fields(values) == plain.fields
        assert form.named(values) == plain.fields.named
        assert form.length(values) == plain.length


@settings(max_examples=examples(1_000, 50_000), deadline=None, database=None)
@given(
    lines=of_responses,
    framing=field(b"content-length", number) | field(b"transfer-encoding", st.just(b"chunked")),
    status=st.sampled_from(
        [b"200 OK", b"201 Created", b"404 Not Found", b"500 X", b"204 No Content", b"304 X", b"100 X"]
    ),
    inspected=st.booleans(),
)
def test_response(lines: list[bytes], framing: bytes, status: bytes, inspected: bool) -> None:
    """A plain head goes to the client as its form says, byte for byte as it does by itself."""
    head = b"\r\n".join([b"HTTP/1.1 " + status, *lines, framing])
    found = Forms().of_response(head)
    if found is None:
        return
    plain = plain_response(head)
    assert plain is not None, "nothing but plain responses has a form"
    form, values = found
    whole = ResponseHead.of(plain.status, plain.reason, plain.fields, "GET")
    ours = fields_of_ours(whole, chunked=whole.chunked, request_id="an-id")
    by_itself = response_head(plain.status, plain.reason, plain.fields, added=ours, inspected=inspected)
    assert form.for_client(b"an-id", values, inspected=inspected) == by_itself
    assert form.status == plain.status


def test_what_is_not_plain_has_no_form() -> None:
    """Neither a head that is not plain nor one that is refused has a form, also when it comes again."""
    forms = Forms()
    for fields in (b"\r\nHost:a", b"\r\nX: y", b"\r\nHost: a b", b"\r\nHost: a\r\nExpect: 100-continue"):
        assert forms.of_request(fields) is None
        assert forms.of_request(fields) is None
    assert forms.of_request(b"\r\nHost: a\r\nX-Request-Id: b") is not None
    assert forms.of_request(b"\r\nHost: a\r\nX-Request-Id: b c") is None, "the general way makes a new id"


@pytest.mark.parametrize("length", [b"1000000", b"99999999999", b"007", b"many"])
def test_length_that_is_not_plain_spoils_no_form(length: bytes) -> None:
    """A message that is large, or of an odd length, leaves the others with such a head their form."""
    forms = Forms()
    for of, first in ((forms.of_request, b"\r\nHost: a"), (forms.of_response, b"HTTP/1.1 200 OK")):
        of(first + b"\r\nContent-Length: " + length)
        assert of(first + b"\r\nContent-Length: 2") is not None
    found = forms.of_request(b"\r\nHost: a\r\nContent-Length: " + length)
    assert found is None or found[0].length(found[1]) is None
    answered = forms.of_response(b"HTTP/1.1 200 OK\r\nContent-Length: " + length)
    assert answered is None or not answered[0].has_whole(answered[1], b"hi")


def test_space_behind_a_length_is_not_plain() -> None:
    """Nor does a form come of a head whose length only looks like a varying one."""
    assert Forms().of_request(b"\r\nHost: a\r\nContent-Length: 2 ") is None
    assert Forms().of_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2 ") is None


def test_memory_has_a_bound() -> None:
    """Whoever sends ever new forms does not fill the memory with them, and every one of them is still right."""
    forms = Forms()
    for number in range(3_000):
        assert forms.of_request(b"\r\nHost: a\r\nX-%d: b" % number) is not None
    assert len(forms._requests) <= 512


def test_body_of_a_response() -> None:
    """A body is whole that is as long as its head says, or exactly one chunk as the gateway writes it."""
    forms = Forms()
    form, values = forms.of_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2") or (None, [])
    assert form is not None
    assert [form.has_whole(values, body) for body in (b"", b"h", b"hi", b"hi!")] == [False, False, True, False]
    for framed, is_whole in {
        b"2\r\nhi\r\n0\r\n\r\n": True,
        b"a\r\n0123456789\r\n0\r\n\r\n": True,
        b"A\r\n0123456789\r\n0\r\n\r\n": False,
        b"02\r\nhi\r\n0\r\n\r\n": False,
        b"2;x\r\nhi\r\n0\r\n\r\n": False,
        b"2\r\nhi\r\n0\r\nX: y\r\n\r\n": False,
        b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n": False,
        b"2\r\nhi\r\n": False,
        b"0\r\n\r\n": False,
        b"2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK": False,
    }.items():
        assert is_one_chunk(framed) == is_whole, framed


def test_fields_know_their_names() -> None:
    """Fields that are marked and filled are as if they had been sent so."""
    found = Forms().of_request(b"\r\nHost: a\r\nContent-Length: 7")
    assert found is not None
    form, _ = found
    assert form.fields([b"9"]) == IndexedFields([(b"Host", b"a"), (b"Content-Length", b"9")])
