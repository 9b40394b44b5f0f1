"""Random requests to put two ways through the proxy to the test: most of them plain, some odd in one respect.

What is plain is what an express lane may carry: a whole request of HTTP/1.1 with its body counted or none, and nothing
in it that asks for thought.
"""

from collections.abc import Callable
from random import Random

from support.answers import ANSWERS, MORE, TROUBLE
from support.bodies import Bodies, Body
from support.exchanges import RESPONSES
from support.oddities import PATHS, QUERIES
from support.series import PAUSE, Round, Sent, Series
from support.targets import INNOCENT, Targets
from support.wire import chunked

MAX_HEAD = 16 * 1024
_SHORT = 20_000

PATTERNS = ("/api/strategies", "/api/strategies/:id", "/api/simulate", "/api/value", "/api/nested")
_QUERY_PATTERN = "/api/funds/:fundId/companies"
_IDS = ("1", "abc-1", "!~", "x" * 128, "0b6f1f8e-9f0a-4a51-9a55-0c9f4f1d2a3b")
_BAD_IDS = (b"", b"two words", b"x" * 129, b"\xe9", b"a\tb")
_METHODS = ("GET", "POST", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_ODD_METHODS = ("PROPFIND", "PURGE", "M-SEARCH", "get", "CONNECT", "TRACE", "FROBNICATE", "SOURCE", "QUERY", "LINK")
_ODD_VERSIONS = ("HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1")
_OTHER_PLACES = ("/elsewhere", "/off", "/some", "/none")
_FUNDS = ("7", "abc", "0b6f1f8e-9f0a-4a51-9a55-0c9f4f1d2a3b")
_AUTHORITIES = ("http://gateway.test", "HTTP://other:81", "https://u@x", "http://[::1]", "http://gateway.test:80")
_WITHOUT_TROUBLE = tuple({**RESPONSES, **MORE})
_ANSWERS = tuple(ANSWERS)

# What may be odd about a request, and how often.
_ODDITIES = {
    "": 120,
    "unusual": 20,
    "method": 3,
    "field": 8,
    "refused": 3,
    "host": 4,
    "length": 4,
    "version": 3,
    "long": 4,
    "lines": 1,
    "path": 8,
    "absolute": 4,
    "chunks": 6,
}
# Fields that every reader understands alike.
_PLAIN = (
    *(b"User-Agent: curl/8.5.0", b"Accept: */*", b"Accept-Encoding: gzip, deflate, br, zstd", b"Cookie: a=1; b=2"),
    *(b"X-E: a  b", b"X!#$%&'*+.^_`|~: 1", b"Connection: keep-alive", b"connection: Keep-Alive", b"Via: 1.0 a"),
    *(b"X-Forwarded-For: 192.0.2.1", b"x-forwarded-for: b, c", b"X-Forwarded-Proto: https", b"Forwarded: for=x"),
    *(b"X-Forwarded-Host: other", b"X-Stage-Warning: mine", b"x-stage-would-reject: true", b"X-Stage-Other: 1"),
    *(b"Keep-Alive: timeout=5", b"Authorization: Basic eDp5", b"Range: bytes=0-1", b"If-None-Match: x"),
    *(b"Max-Forwards: 0", b"X-Request-Id-Too: 1", b"Cache-Control: no-store", b"Server: y", b"X-Long: " + b"y" * 3000),
    b"\r\n".join(b"X-%d: %d" % (number, number) for number in range(40)),
)
# Fields that are well-formed, but repeated, oddly spaced, empty, not ASCII, or about the connection.
_UNUSUAL = (
    *(b"Cookie: a=1\r\nCookie: b=2", b"Accept: a\r\nZebra: 1\r\naccept: b", b"X-Raw: \xe9\xff \xc3\xa9", b"Via:"),
    *(b"X-A:1", b"X-B: \t2 \t", b"X-C:", b"X-D:    ", b"Connection: close", b"connection: Close, X-Mine\r\nX-Mine: 1"),
    *(b"Connection: X-Mine\r\nx-mine: 1\r\nX-MINE: 2", b"Connection: keep-alive, close", b"Connection:"),
    *(b"Connection: ,, te ,\r\nTE: trailers", b"TE: gzip", b"Connection: x-c, x-d\r\nX-C: 1"),
    *(b"Connection: user-agent\r\nUser-Agent: x", b"Proxy-Connection: close", b"Trailer: X-T"),
    *(b"Via: 1.0 a\r\nvia: 1.1 b", b"X-Forwarded-For: a\r\nx-forwarded-for: b, c", b"X-Forwarded-For:"),
    *(b"X-Forwarded-Host: other\r\nX-Forwarded-Host:", b"X-Forwarded-Proto:\r\nx-forwarded-proto: a"),
    *(b"x-stage-would-reject: true\r\nX-STAGE-WARNING:", b"X-Stage-Warning: a\r\nx-stage-warning: b"),
)
# Fields for which a plain request may be refused.
_REFUSED = (
    *(b"Connection: x-request-id", b"Connection: Host", b"Connection: X-Forwarded-For"),
    *(b"Connection: content-length", b"Connection: keep-alive\r\nConnection: X-Stage-Warning"),
    *(b"X-HTTP-Method-Override: GET", b"x_http_method: PUT", b"X-Method-Override:"),
)
# Fields with which a request is no longer plain, or none at all.
_ODD = (
    *(b"Expect: 100-continue", b"expect: 100-Continue ", b"Expect: more", b"Expect:"),
    *(b"Connection: upgrade\r\nUpgrade: websocket", b"Upgrade: websocket", b"Connection: upgrade"),
    *(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", b"Upgrade:"),
    *(b"Host: gateway.test", b"Host: a/b", b"X-A: 1\r\n 2", b"X-A:\r\n\t2", b"X-A : 1", b"nonsense"),
    *(b"X-A: a\x01b", b"X-A: a\x00b", b"X-A: a\x7fb", b"X(a): 1", b"X a: 1", b": 1", b" X-A: 1", b"X-A: a\rb"),
    *(b"X-A: a\nX-B: c", b"Content-Type: text/plain\r\ncontent-type: application/json"),
    *(b"Transfer-Encoding: gzip", b"Transfer-Encoding:", b"Transfer-Encoding: identity", b"\xe9: 1"),
    *(b"Sec-WebSocket-Key: x\r\nConnection: upgrade", b"\r\n".join(b"X: %d" % number for number in range(255))),
)
_HOSTS = (
    *(b"Host: gateway.test:8080", b"host:gateway.test", b"HOST: \t[::1]:80  ", b"Host:", b"", b"Host: a b"),
    *(b"Host: gateway.test\r\nhost: gateway.test", b"Host: GATEWAY.test", b"Host: \xe9", b"Host: a@b"),
)
_LENGTHS: tuple[Callable[[int], bytes], ...] = (
    lambda size: b"Content-Length: 00%d" % size,
    lambda size: b"content-length:%d" % size,
    lambda size: b"CONTENT-LENGTH:   %d \t" % size,
    lambda size: b"Content-Length: +%d" % size,
    lambda size: b"Content-Length: %d, %d" % (size, size),
    lambda size: b"Content-Length: %d\r\nContent-Length: %d" % (size, size),
    lambda size: b"Content-Length: %d\r\nTransfer-Encoding: chunked" % size,
    lambda size: b"Content-Length: 0x%x" % size,
    lambda size: b"Content-Length: %d %d" % (size, size),
    lambda size: b"Content-Length: -%d" % size,
    lambda _: b"Content-Length: 99999999999999999999999",
    lambda _: b"Content-Length: ",
)


class Requests:
    """Makes requests; the same for the same seed. Each has its number in a field `X-Case`."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._pick = self._random.choice
        self._bodies = Bodies(self._random)
        self._targets = Targets([*PATTERNS, _QUERY_PATTERN], seed)
        self._number = 0

    def one(self, *, calm: bool = False) -> Sent:
        """Return the next request; a `calm` one has nothing odd, and its upstream no trouble."""
        self._number += 1
        oddity = "" if calm else self._oddity()
        pattern = self._pick([*PATTERNS, *PATTERNS, _QUERY_PATTERN, *_OTHER_PLACES])
        method = self._pick(_ODD_METHODS if oddity == "method" else _METHODS)
        version = self._pick(_ODD_VERSIONS) if oddity == "version" else "HTTP/1.1"
        target = self._target(pattern, oddity)
        body = self._body(pattern, method, coded=oddity != "chunks")
        answer = self._answer(method, body, calm=calm)
        fields = self._fields(pattern, oddity, answer, body)
        if oddity == "long":
            fields.append(b"X-Padding: " + b"p" * self._missing(target, fields))
        line = f"{method} {target} {version}".encode("latin-1")
        head = b"\r\n".join([line, *map(self._cased, fields), b"", b""])
        if oddity == "lines":
            head = self._pick([head.replace(b"\r\n", b"\n"), b"\r\n" + head, head.replace(b"\r\n", b"\r\r\n", 1)])
        chunked = any(b"transfer-encoding: chunked" in field.lower() for field in fields)
        content = self._chunks(body.content) if chunked else body.content
        return Sent(head + content, method, answer, str(self._number))

    def series(self) -> Series:
        """Return the next requests on one connection: by themselves, or some at once, whole or cut, often calm ones.

        Only requests that are well-formed stand together: what a parser does with a request before one that is not
        depends on how much of them came at once.
        """
        rounds = []
        calm = self._random.random() < 0.5
        for _ in range(self._pick([1, 2, 4, 8])):
            first = self.one(calm=calm)
            if first.answer in {*TROUBLE, "nothing at all"} or "dies" in first.answer:
                rounds.append(Round.of(self.warming()))  # so that the connection to the upstream is a used one
            requests = [first]
            while requests[-1].is_well_formed and not requests[-1].is_last and self._random.random() < 0.15:
                requests += [one for one in [self.one(calm=calm)] if one.is_well_formed and len(one.raw) < _SHORT]
            rounds.append(self._cut(requests))
        return rounds

    def warming(self) -> Sent:
        """Return a request that any upstream answers, by which a connection to it has been used."""
        self._number += 1
        case = str(self._number)
        return Sent(f"GET /warm HTTP/1.1\r\nHost: gateway.test\r\nX-Case: {case}\r\n\r\n".encode(), "GET", "", case)

    def _cut(self, requests: list[Sent]) -> Round:
        size = sum(len(one.raw) for one in requests)
        # What is sent to a connection that ended hides how it did.
        quiet = all(one.is_well_formed and not one.answer and not _may_end_early(one) for one in requests)
        if self._random.random() < 0.8 or not quiet:
            return Round.of(*requests)
        cuts = sorted(self._random.randrange(size) for _ in range(self._random.randint(1, 3)))
        return Round.of(*requests, cuts=cuts, pause=self._pick([0.0, PAUSE]))

    def _oddity(self) -> str:
        """Return what is odd about a request, "" for a plain one: one thing, or few would say anything of their own."""
        return self._random.choices(list(_ODDITIES), list(_ODDITIES.values()))[0]

    def _fields(self, pattern: str, oddity: str, answer: str, body: Body) -> list[bytes]:
        fields = [self._pick(_HOSTS) if oddity == "host" else b"Host: gateway.test", b"X-Case: %d" % self._number]
        fields += [b"X-Answer: " + answer.encode()] if answer else []
        fields += [*self._identity(pattern), *body.fields]
        fields += self._random.sample(_PLAIN, self._random.randrange(4))
        fields += [self._pick(_UNUSUAL)] if oddity == "unusual" else []
        fields += [self._pick(_ODD)] if oddity == "field" else []
        fields += [self._pick(_REFUSED)] if oddity == "refused" else []
        fields += [self._framing(body.counted, oddity)] if body.counted is not None else []
        if self._random.random() < 0.3:
            self._random.shuffle(fields)
        return [field for field in fields if field]

    def _body(self, pattern: str, method: str, *, coded: bool) -> Body:
        """Return a body; one not `coded` is JSON and says so, and cannot be refused before it was read to its end."""
        likely = {"GET": 0.1, "HEAD": 0.1, "OPTIONS": 0.1, "DELETE": 0.3}.get(method, 0.92)
        return self._bodies.one(pattern, coded=coded) if self._random.random() < likely else Body(b"", (), None)

    def _answer(self, method: str, body: Body, *, calm: bool) -> str:
        if self._random.random() < 0.75:
            return ""
        answer = self._pick(_WITHOUT_TROUBLE if calm or method == "HEAD" else _ANSWERS)
        # How much of a long body still goes up once an early answer is there is a matter of time.
        return "" if answer.startswith("early") and len(body.content) > _SHORT else answer

    def _identity(self, pattern: str) -> list[bytes]:
        """Return a request id: always a good one where it decides whether a request is enforced."""
        good = b"X-Request-Id: " + (self._pick(_IDS) + str(self._number))[-128:].encode()
        kind = self._random.random()
        if pattern == "/some" or kind < 0.4:
            return [good]
        return [] if kind > 0.47 else [good, good] if kind < 0.44 else [b"x-request-id:" + self._pick(_BAD_IDS)]

    def _framing(self, size: int, oddity: str) -> bytes:
        if oddity == "length":
            return self._pick(_LENGTHS)(size)
        return b"Transfer-Encoding: chunked" if oddity == "chunks" else b"Content-Length: %d" % size

    def _target(self, pattern: str, oddity: str) -> str:
        if oddity == "path":
            if pattern == "/some":  # whatever is taken for it needs an id of its own
                return "/some/" + self._pick(["", "?x", "..", "%2e", "?stage=seed"])
            return self._pick([*PATHS, *INNOCENT, *self._targets.take(100)])
        target = pattern.replace(":fundId", self._pick(_FUNDS)).replace(":id", self._pick(["7", "a%2Fb", "x"]))
        if pattern in {_QUERY_PATTERN, "/api/value"} and self._random.random() < 0.6:
            query = self._pick(QUERIES[:70]) if self._random.random() < 0.3 else "x=1&stage=%s"
            target += "?" + query.replace("%s", self._pick(["seed", "series-a", "Series%20A", "x"])).replace("%%", "%")
        elif self._random.random() < 0.2:
            target += self._pick(["?", "?x=1", *(f"?fundId={fund}" for fund in _FUNDS), "?q=%zz|^`{}"])
        return self._pick(_AUTHORITIES) + target if oddity == "absolute" else target

    def _missing(self, target: str, fields: list[bytes]) -> int:
        """Return how much is missing of a head that is just within its limit, at it or past it."""
        there = len(target) + sum(len(field) + 2 for field in fields) + len("X-Padding") + 4
        return max(0, MAX_HEAD - there + self._random.randrange(-8, 8))

    def _cased(self, field: bytes) -> bytes:
        if self._random.random() < 0.9:
            return field
        name, colon, value = field.partition(b":")
        return self._pick([name.upper(), name.lower(), name.swapcase()]) + colon + value

    def _chunks(self, content: bytes) -> bytes:
        if not content:
            return chunked()
        at = self._random.randrange(len(content))
        return chunked(*(part for part in (content[:at], content[at:]) if part))


def _may_end_early(sent: Sent) -> bool:
    """Whether it may be refused in the middle of its body, when it is a matter of time whether the rest has come."""
    return b"content-encoding:" in sent.raw.partition(b"\r\n\r\n")[0].lower()
