"""The sample upstreams: a portfolio API that keeps strategies in memory, and a Monte Carlo API that simulates.

Both take what they are given, as the real ones once did: a wrong stage is stored, and a simulation silently
leaves it out. That is the harm the gateway prevents.
"""

import itertools
import random
import statistics
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web

# Yearly growth, mean and deviation, and the chance of a total loss, by stage.
_RETURNS = MappingProxyType(
    {
        "pre-seed": (1.20, 0.95, 0.65),
        "seed": (0.95, 0.80, 0.55),
        "series-a": (0.70, 0.60, 0.40),
        "series-b": (0.50, 0.45, 0.30),
        "series-c": (0.35, 0.35, 0.20),
        "series-c+": (0.25, 0.25, 0.15),
    }
)
_MAX_RUNS = 10_000
_COMPANIES = (("Aurora Robotics", "seed"), ("Birch Health", "series-a"), ("Cobalt Energy", "series-a"))


class Portfolio:
    """Strategies by id, and the companies of every fund."""

    def __init__(self) -> None:
        self._strategies: dict[int, dict[str, Any]] = {}
        self._ids = itertools.count(1)

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/api/portfolio/strategies", self.every)
        app.router.add_post("/api/portfolio/strategies", self.create)
        app.router.add_get("/api/portfolio/strategies/{id}", self.one)
        app.router.add_put("/api/portfolio/strategies/{id}", self.replace)
        app.router.add_delete("/api/portfolio/strategies/{id}", self.delete)
        app.router.add_get("/api/funds/{fundId}/companies", self.companies)
        return app

    async def every(self, _: web.Request) -> web.Response:
        """Return all strategies."""
        return _json(list(self._strategies.values()))

    async def create(self, request: web.Request) -> web.Response:
        """Keep a strategy."""
        strategy = {**await _object(request), "id": next(self._ids)}
        self._strategies[strategy["id"]] = strategy
        return _json(strategy, 201)

    async def one(self, request: web.Request) -> web.Response:
        """Return one strategy."""
        return _json(self._strategies[self._id(request)])

    async def replace(self, request: web.Request) -> web.Response:
        """Replace one strategy."""
        identity = self._id(request)
        self._strategies[identity] = {**await _object(request), "id": identity}
        return _json(self._strategies[identity])

    async def delete(self, request: web.Request) -> web.Response:
        """Forget one strategy."""
        del self._strategies[self._id(request)]
        return web.Response(status=204)

    async def companies(self, request: web.Request) -> web.Response:
        """Return the companies of a fund, of one stage when it is asked for."""
        asked = request.query.get("stage")
        companies = ({"id": i, "name": name, "stage": stage} for i, (name, stage) in enumerate(_COMPANIES, 1))
        return _json([company for company in companies if asked in {None, company["stage"]}])

    def _id(self, request: web.Request) -> int:
        text = request.match_info["id"]
        if not text.isdecimal() or int(text) not in self._strategies:
            raise web.HTTPNotFound(text="no such strategy\n")
        return int(text)


class MonteCarlo:
    """Simulates the multiple of a portfolio from the posted distribution of stages."""

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/api/monte-carlo/simulate", self.simulate)
        return app

    async def simulate(self, request: web.Request) -> web.Response:
        """Return mean and percentiles of the simulated multiples, and the weight that was understood."""
        body = await _object(request)
        try:
            weights = _understood(body.get("stageDistribution", []))
            runs = min(int(body.get("runs", 1000)), _MAX_RUNS)
            chance = random.Random(int(body.get("seed", 1)))  # noqa: S311 - a simulation, repeatable by its seed
        except (TypeError, ValueError, OverflowError):
            raise web.HTTPBadRequest(text="runs, seed and weights are numbers\n") from None
        multiples = sorted(_multiple(weights, chance) for _ in range(max(runs, 2)))
        percentiles = statistics.quantiles(multiples, n=20, method="inclusive")
        return _json(
            {
                "runs": len(multiples),
                "weightUnderstood": round(sum(weights.values()), 9),
                "meanMultiple": round(statistics.fmean(multiples), 3),
                "p5": round(percentiles[0], 3),
                "median": round(percentiles[9], 3),
                "p95": round(percentiles[18], 3),
            }
        )


def _understood(distribution: list[Any]) -> dict[str, float]:
    """Return the weights of the stages that are known; all others are silently left out."""
    weights: dict[str, float] = {}
    for entry in distribution:
        stage = entry.get("stage") if isinstance(entry, dict) else None
        if isinstance(stage, str) and stage in _RETURNS:
            weights[stage] = weights.get(stage, 0.0) + float(entry.get("weight") or 0)
    return weights


def _multiple(weights: dict[str, float], chance: random.Random) -> float:
    """Return the multiple of one simulated portfolio after five years."""
    total = 0.0
    for stage, weight in weights.items():
        mean, deviation, loss = _RETURNS[stage]
        if chance.random() >= loss:
            total += weight * max(0.0, 1 + chance.gauss(mean, deviation)) ** 2.5
    return total


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise web.HTTPBadRequest(text="no JSON\n") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="no JSON object\n")
    return body


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
