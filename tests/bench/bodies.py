"""Bodies as the Monte Carlo API takes them: arrays of entries, all of them canonical."""

import json
import random
from typing import Any

import orjson

CANONICAL = ("pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+")


def simulate_body(entries: int, *, wide: bool) -> bytes:
    """Return a body with so many entries: {stage, weight} of about 42 bytes, or `wide` ones of about 240.

    The narrow ones are written with a space after colons and commas, as most languages do by default.
    """
    chance = random.Random(7)

    def entry(number: int) -> dict[str, Any]:
        made: dict[str, Any] = {"stage": chance.choice(CANONICAL), "weight": round(1 / entries, 6)}
        if wide:
            made |= {
                "companyId": number,
                "name": f"Company {number}",
                "sector": chance.choice(["fintech", "health", "climate"]),
                "checkSize": chance.randrange(10**5, 10**7),
                "ownership": round(chance.random(), 4),
                "notes": "follow-on reserved; board seat; pro rata kept through the next two rounds",
                "tags": ["core", "reserve"],
            }
        return made

    document = {"fundId": 1, "runs": 1000, "stageDistribution": [entry(i) for i in range(entries)]}
    return orjson.dumps(document) if wide else json.dumps(document).encode()


def small_body() -> bytes:
    """Return a body of six stages, 300 bytes."""
    document = json.loads(simulate_body(6, wide=False)) | {"note": ""}
    document["note"] = "n" * (300 - len(orjson.dumps(document)))
    return orjson.dumps(document)


# None is a GET that nobody inspects.
BODIES: dict[str, bytes | None] = {
    "GET": None,
    "6 stages": small_body(),
    "1,000 × {stage, weight}": simulate_body(1_000, wide=False),
    "5,000 × {stage, weight}": simulate_body(5_000, wide=False),
    "5,000 × 240 B": simulate_body(5_000, wide=True),
    "40,000 × 240 B": simulate_body(40_000, wide=True),
}
