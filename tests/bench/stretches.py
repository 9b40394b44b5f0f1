"""How long the event loop is held: CPU time of every callback while large bodies are carried and judged.

Runs the gateway in this process on asyncio's own loop, whose callbacks can be timed one by one; the code under the
callbacks is the same as on uvloop. Prints one JSON line: callbacks, and the milliseconds of their percentiles.
Arguments: upstream's port, clients, bytes of each body, mode, shape (`array`, `star`, `empty`).
"""

import asyncio
import json
import sys
import tempfile
import threading
import time
from asyncio import events
from pathlib import Path

from bench.clients import ENTRY, at_once, percentile
from gateway.rules.load import load
from gateway.server.app import App
from gateway.settings import Settings

_STAGES = {
    "array": {"each": "/stageDistribution", "field": "stage", "weight": "weight"},
    "star": {"value": "/stageDistribution/*/stage"},
    "empty": {"each": "/stageDistribution", "field": "stage"},
}


def main(upstream: int, clients: int, size: int, mode: str, shape: str) -> None:
    """Serve, post, and print what was measured."""
    stretches: list[float] = []
    original = events.Handle._run

    def timed(handle: events.Handle) -> None:
        begin = time.thread_time()
        original(handle)
        stretches.append((time.thread_time() - begin) * 1000)

    events.Handle._run = timed  # type: ignore[method-assign,assignment]  # asyncio has no hook for this
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.json"
        config.write_text(
            json.dumps(
                {
                    "defaultMode": mode,
                    "upstreams": {"api": {"url": f"http://127.0.0.1:{upstream}"}},
                    "endpoints": {"/api/monte-carlo/simulate": {"stages": [_STAGES[shape]]}},
                    "limits": {"drainSeconds": 0, "maxBodyBytes": 2**31, "heldBytes": 2**31},
                }
            )
        )
        settings = Settings(config=config, host="127.0.0.1", port=0, admin_port=0, state=folder)
        statuses: list[int] = []

        async def serve() -> None:
            app = App(settings, load(config))
            loop = asyncio.get_running_loop()

            def ready(port: int, _: int) -> None:
                def work() -> None:
                    statuses.extend(at_once(port, clients, size, b"{}" if shape == "empty" else ENTRY))
                    loop.call_soon_threadsafe(app.stop)

                def begin() -> None:
                    stretches.clear()  # of the start, of which this call is part
                    threading.Thread(target=work).start()

                loop.call_soon(begin)

            await app.run(ready)

        asyncio.run(serve())
    print(
        json.dumps(
            {
                "statuses": statuses,
                "callbacks": len(stretches),
                "p99.9": percentile(stretches, 0.999),
                "max": max(stretches),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
