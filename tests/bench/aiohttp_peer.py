"""The plain peer: an aiohttp proxy that collects and parses each body. Arguments: own port, upstream's port."""

import sys

import aiohttp
import orjson
import uvloop
from aiohttp import web

CANONICAL = frozenset({"pre-seed", "seed", "series-a", "series-b", "series-c", "series-c+"})


def application(upstream: int) -> web.Application:
    """Return the proxy."""
    app = web.Application(client_max_size=2**30)

    async def session(_: web.Application) -> None:
        app[SESSION] = aiohttp.ClientSession(auto_decompress=False)

    async def carry(request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers)
        if body:
            document = orjson.loads(body)
            bad = sum(entry["stage"] not in CANONICAL for entry in document["stageDistribution"])
            headers["X-Bad"] = str(bad)
        url = f"http://127.0.0.1:{upstream}{request.path_qs}"
        async with app[SESSION].request(request.method, url, data=body or None, headers=headers) as response:
            return web.Response(status=response.status, body=await response.read())

    app.on_startup.append(session)
    app.router.add_route("*", "/{rest:.*}", carry)
    return app


SESSION = web.AppKey("session", aiohttp.ClientSession)

if __name__ == "__main__":
    uvloop.install()
    web.run_app(application(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
