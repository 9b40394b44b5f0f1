"""Request targets put together at random from everything that servers read in different ways."""

import random

_FILLINGS = ["", "7", "a", "A-b_c.d", "%C3%A9", "a%2Fb", "x;v=1", "..", ".", "%2e%2e", "a%20b", "strategies"]
_BEGINNINGS = [
    *("", "/", "//", "/\\", "/./", "/%2e/", "/x/../", "/%2f", "/%5c", "/;/", "/;x", "/%20", "/../", "/x//../"),
    *("//x/", "///x/", "/\\x/", "/\\/x/", "//user@x/", "//u:p@x:80/", "//[::1]/", "//[::1]:80/", "//x\\", "//x\\y/"),
    *(
        "//x%2Fy/",
        "//x/y/../",
        "//x//",
        "/\\\\x/",
        "//@/",
        "//:80/",
        "//x:y/",
        "//x;y/",
        "//a@b@c/",
        "//%78/",
        "//X//y/",
    ),
    *("/x/..//y/", "/.//x/", "/%2f%2fx/", "/%5C%5Cx/", "//..;/", "//./", "//x!/", "//-/", "//x?/", "/\t/x/", "//x\t/"),
    *(
        "http://x/",
        "http://x//",
        "http://x//y/",
        "HTTP://x:80//u@y/",
        "http://u@x/",
        "https://[::1]//y/",
        "http://x\\y/",
    ),
    *("http:///", "http:/x/", "http:x/", "ftp://x/", "http://x/\\y/", "http://x/./", "http://x?/"),
]
_BETWEEN = [
    *("//", "\\", "/./", "/x/../", "%2f", "%5C", "/;/", "/%2e/", "/.;/", "/x/%2E%2e/", "/x/..;/", "/.//", "\\/", "///"),
    *("/x/.%2e/", "/x\\..\\", "/%2E%2E/", "/%20/", "%252f", "/x//../", "/x//../../"),
]
_ENDINGS = [
    *("/", "//", "/.", "/..", "/x/..", "?x=1", "?", "??/", "#x", ";", ";x=y", ";/x", "%3fx", "%23x", "/?//x/", "%20"),
    *(
        "%09",
        "%00",
        "/%2e",
        "/x/%2e%2e",
        "/;x",
        "\\",
        "\\..",
        ".",
        "..",
        "%2F",
        ";/../x",
        "/x;/..",
        "/..;",
        "/\\",
        "\t",
    ),
]
INNOCENT = [
    *(
        "/static/a//b",
        "/static//app.js",
        "/files/a%20b",
        "/files/caf%C3%A9/",
        "/x/../y",
        "/x/./y",
        "/a;b/c",
        "//cdn/x.js",
    ),
    *(
        "/wiki/100%25",
        "/search/a%2Fb",
        "/.well-known/x",
        "/a/b/..",
        "/api//other",
        "/api/portfolio//other",
        "///",
        "/\\x",
    ),
    *("/api/portfolio/strategies.json", "/api/portfolio/strategies-old/7;x", "/v2/api/portfolio%2Fx", "/%2e%2e/etc"),
]


class Targets:
    """Makes targets from the segments of patterns; the same for the same seed."""

    def __init__(self, patterns: list[str], seed: int) -> None:
        self._patterns = patterns
        self._chance = random.Random(seed)

    def take(self, count: int) -> list[str]:
        """Return so many different targets."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self._one()] = None
        return list(found)

    def _one(self) -> str:
        chance = self._chance
        segments = chance.choice(self._patterns)[1:].split("/")
        target = chance.choice(_BEGINNINGS) if chance.random() < 0.6 else "/"
        for number, segment in enumerate(segments):
            if number or not target:
                target += chance.choice(_BETWEEN) if chance.random() < 0.12 else "/"
            target += self._written(chance.choice(_FILLINGS) if segment.startswith(":") else segment)
        if chance.random() < 0.3:
            target += chance.choice(_ENDINGS)
        return target

    def _written(self, segment: str) -> str:
        chance = self._chance
        match chance.randrange(24) if segment else None:
            case 0:
                return segment.swapcase()
            case 1:
                return segment.replace(segment[-1], f"%{ord(segment[-1]):02x}")
            case 2:
                return segment.replace(segment[0], f"%{ord(segment[0]):02X}", 1)
            case 3:
                return segment.replace(segment[0], f"%25{ord(segment[0]):02x}", 1)
            case 4:
                return segment + chance.choice([";", ";x=y", "%20", "%09", "%00", ".", "\t", "%3B", "%3b"])
            case 5:
                return chance.choice(["%20", ";", "."]) + segment
            case _:
                return segment
