"""Asks a running gateway on its admin port."""

from typing import Any

import aiohttp
import orjson

from gateway.errors import GatewayError, UnreachableError, cause_of

_SECONDS = 10
_DOCUMENTS = (200, 422)  # a reload that failed is a 422 with the status
_EXAMPLE = "http://127.0.0.1:8081"
_NAME_IT = "; name the gateway's own with STAGE_GATEWAY_ADMIN_TOKEN_FILE, or the STATE folder where it is kept"


class CallRefusedError(GatewayError):
    """The gateway does not follow a call; the message says why."""


async def fetch_status(address: str, token: str | None, seconds: float = _SECONDS) -> dict[str, Any]:
    """Return `/status` of the gateway whose admin port is at `address`; `seconds` bounds the wait.

    Raises UnreachableError, CallRefusedError.
    """
    return await _call(address, "GET", "/status", token, "endpoints", seconds=seconds)


async def send_mode(
    address: str, token: str | None, change: dict[str, Any], seconds: float = _SECONDS
) -> dict[str, Any]:
    """Change an endpoint's override, and return what it is under then; `seconds` bounds the wait.

    Raises UnreachableError, CallRefusedError.
    """
    return await _call(address, "POST", "/-/mode", token, "override", orjson.dumps(change), seconds)


async def send_reload(address: str, token: str | None, seconds: float = _SECONDS) -> dict[str, Any]:
    """Let the gateway read its file again, and return `/status`, of which `lastReload` says what came of it.

    Raises UnreachableError, CallRefusedError.
    """
    return await _call(address, "POST", "/-/reload", token, "endpoints", seconds=seconds)


async def _call(
    address: str,
    method: str,
    path: str,
    token: str | None,
    member: str,
    body: bytes | None = None,
    seconds: float = _SECONDS,
) -> dict[str, Any]:
    """Return the answer, a document with `member` in it; a file that cannot be read again is told in one, too."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{address.rstrip('/')}{path}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), trust_env=False) as session,
            session.request(method, url, headers=headers, data=body) as response,
        ):
            document = orjson.loads(await response.read())
            if response.content_type == "application/problem+json":
                cure = _NAME_IT if response.status == 401 else ""
                raise CallRefusedError(f"{url}: {document['detail']}{cure}")
            if response.status not in _DOCUMENTS:
                raise UnreachableError(f"{url}: answered {response.status}, expected the admin port of a gateway")
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise UnreachableError(f"{url}: cannot be asked: is no address, expected one such as {_EXAMPLE}") from error
    except (TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(
            f"{url}: cannot be asked: {cause_of_call(error, seconds)}; name the admin port with --admin"
        ) from error
    if not isinstance(document, dict) or member not in document:
        raise UnreachableError(f"{url}: is not the admin port of a gateway; name it with --admin")
    return document


def cause_of_call(error: Exception, seconds: float) -> str:
    """Return why a call that may take so many seconds gave no answer."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host's name is not known"  # its own error has no number
        case aiohttp.ClientConnectorError():
            return cause_of(error.os_error)
        case TimeoutError():
            return f"no answer within {seconds:g} s"
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError():
            return "it broke the connection off"
        case _:
            return "its answer is not what was asked for"
