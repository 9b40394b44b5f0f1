"""Asks a running gateway on its admin port."""

from typing import Any

import aiohttp
import orjson

from gateway.errors import UnreachableError

_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def fetch_status(address: str, token: str | None) -> dict[str, Any]:
    """Return `/status` of the gateway whose admin port is at `address`. Raises UnreachableError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{address.rstrip('/')}/status"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(url, headers=headers) as response,
        ):
            body = await response.read()
            if response.status != 200:
                raise UnreachableError(f"{url}: answered {response.status}, expected the admin port of a gateway")
            document = orjson.loads(body)
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        cause = str(error) or type(error).__name__
        raise UnreachableError(f"{url}: cannot be asked: {cause}; name the admin port with --admin") from error
    if not isinstance(document, dict) or "endpoints" not in document:
        raise UnreachableError(f"{url}: is not the admin port of a gateway; name it with --admin")
    return document
