"""Random bodies for the endpoints of `ENDPOINTS`: right, wrong, odd, broken, and of every size that matters."""

import gzip
import json
import zlib
from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from support.documents import DAMAGE
from support.oddities import MEDIA, TWISTS
from support.process import STAGES

# All that a configuration can ask of a body, at places of which each asks for one thing.
ENDPOINTS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "/api/strategies": {
            "stages": [{"keys": "/stageAllocation"}],
            "weightTolerance": 0.01,
            "fundId": {"query": "fundId"},
        },
        "/api/strategies/:id": {"operation": "write", "stages": [{"keys": "/stageAllocation", "required": True}]},
        "/api/simulate": {
            "operation": "read",
            "stages": [{"each": "/stageDistribution", "field": "stage", "weight": "weight"}],
            "fundId": {"body": "/fundId"},
        },
        "/api/value": {"stages": [{"value": "/stage"}, {"query": "stage"}]},
        "/api/nested": {"stages": [{"value": "/items/*/stage"}], "fundId": {"body": "/fundId"}},
        "/api/funds/:fundId/companies": {"stages": [{"query": "stage"}], "fundId": {"path": "fundId"}},
        "/off": {"stages": [{"value": "/stage"}]},
        "/some": {"stages": [{"value": "/stage"}], "enforcementPercent": 50},
        "/none": {"stages": [{"value": "/stage"}], "enforcementPercent": 0},
    }
)
_ALIASES = ("Series A", "preseed", "series_c", "SEED", "Pre Seed", "seriesc+")
_WRONG = ("seriesc", "", "Series Z", "ѕeed", "seed\u200b", "x" * 200, "seed\x00", "se\\u0065d")
_NO_STAGES: tuple[Any, ...] = (None, 5, True, [], {}, ["seed"])
_FUNDS: tuple[Any, ...] = (7, "7", "0b6f1f8e-9f0a-4a51-9a55-0c9f4f1d2a3b", "a fund", None, 1.5, -3, 10**30, [])
_SIZES = (1_000, 4_000, 16_000, 65_500, 65_536, 65_600, 120_000, 262_000, 262_144, 262_200, 300_000)


class Body(NamedTuple):
    """A body and the fields that describe it. `counted` is its length, None where a request has none at all."""

    content: bytes
    fields: tuple[bytes, ...]
    counted: int | None


class Bodies:
    """Makes bodies by the choices of `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pick = random.choice

    def one(self, pattern: str, *, coded: bool = True) -> Body:
        """Return a body for an endpoint, or for what is none; one not `coded` says that it is JSON."""
        content = self._content(pattern)
        if self._random.random() < 0.08:
            content = self._damaged(content)
        if not coded:
            return Body(content, (b"Content-Type: application/json",), len(content))
        media = self._pick(MEDIA) if self._random.random() < 0.08 else "application/json"
        fields = () if self._random.random() < 0.03 else (f"Content-Type: {media}".encode(),)
        if self._random.random() < 0.08:
            content, coding = self._coded(content)
            fields = (*fields, b"Content-Encoding: " + coding)
        return Body(content, fields, len(content))

    def _content(self, pattern: str) -> bytes:
        kind = self._random.random()
        if kind < 0.05:
            twisted = self._pick(TWISTS).replace("%s", self._pick(["seed", "Series A"]))
            return twisted.encode("utf-8", "surrogatepass")
        if kind < 0.08:
            return self._pick([b"", b" ", b"{}", b"[]", b"null", b"5", b'"seed"', b"stage=seed", b"\x00\xff", b"{"])
        document = self._document(pattern, self._pick([0.0, 0.0, 0.0, 0.3]))
        text = json.dumps(document, ensure_ascii=self._random.random() < 0.5, indent=self._pick([None, None, None, 1]))
        if kind < 0.12:
            text = text.replace("stage", "st\\u0061ge", self._random.randint(1, 3))
        elif kind < 0.15:
            text = text.replace("{", '{"stage":"seed",', 1)
        elif kind < 0.22 and text.endswith("}"):
            text = text[:-1] + ', "padding": "' + "p" * self._pick(_SIZES) + '"}'
        return text.encode()

    def _document(self, pattern: str, wrong: float) -> Any:
        rest: dict[str, Any] = self._pick([{}, {}, {"name": "x"}, {"fundId": self._pick(_FUNDS)}])
        if pattern.startswith("/api/strategies"):
            names = [self._stage(wrong) for _ in range(self._random.randint(0, 4))]
            weights = {str(name): self._pick([1, 0.5, "1"]) if wrong else round(1 / len(names), 3) for name in names}
            return {**rest, "stageAllocation": weights}
        if pattern == "/api/simulate":
            return {**rest, "stageDistribution": [self._element(wrong / 10) for _ in range(self._count())]}
        if pattern == "/api/nested":
            items = [{"stage": self._stage(wrong / 10)} for _ in range(self._count())]
            return {**rest, "items": items if self._random.random() < 0.7 else dict(enumerate(items))}
        return {**rest, "stage": self._stage(wrong)}

    def _element(self, wrong: float) -> Any:
        if self._random.random() < wrong / 3:
            return self._pick([None, 5, [], {}, {"weight": 1}])
        element = {"stage": self._stage(wrong), "weight": self._pick([0.25, 0.5, 1])}
        return {**element, "note": "y" * self._random.randrange(60)} if self._random.random() < 0.1 else element

    def _count(self) -> int:
        return self._pick([0, 1, 2, 3, 5, 10, 30, 200, 1500]) if self._random.random() < 0.5 else 3

    def _stage(self, wrong: float) -> Any:
        if self._random.random() >= wrong:
            return self._pick(STAGES)
        return self._pick([*_ALIASES, *_WRONG, *_NO_STAGES])

    def _coded(self, content: bytes) -> tuple[bytes, bytes]:
        coding = self._pick([b"gzip", b"GZIP", b"deflate", b"identity", b"br", b"gzip, gzip", b"", b"x-gzip"])
        packed = zlib.compress(content) if coding == b"deflate" else gzip.compress(content, mtime=0)
        match self._random.randrange(6):
            case 0:
                packed = packed[:-4]
            case 1:
                packed += self._pick([b"x", gzip.compress(b" ", mtime=0), b"\x00"])
            case 2:
                packed = content
        return (content if coding == b"identity" else packed), coding

    def _damaged(self, content: bytes) -> bytes:
        damaged = bytearray(content)
        at = self._random.randrange(len(damaged) + 1)
        if self._random.random() < 0.5:
            del damaged[at : at + 1]
        else:
            damaged[at:at] = self._pick(DAMAGE)
        return bytes(damaged)
