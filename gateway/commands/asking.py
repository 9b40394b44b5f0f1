"""How commands ask running gateways: their addresses, the token, and all of them at the same time."""

import asyncio
import getpass
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from gateway.commands.output import say
from gateway.errors import GatewayError, UnreachableError, cause_of
from gateway.settings import Settings, read_settings

AdminOption = Annotated[
    list[str] | None,
    typer.Option(
        "--admin",
        metavar="URL",
        help="Admin port of a running gateway, as http://127.0.0.1:8081; may be repeated; "
        "dns+http://name:8081 is every one that the name leads to. Default: STAGE_GATEWAY_ADMIN_HOST and _ADMIN_PORT.",
    ),
]

LONGEST_REASON = 500  # that a gateway takes


def asked(
    admin: list[str] | None, ask: Callable[[str, str | None], Coroutine[Any, Any, dict[str, Any]]]
) -> tuple[dict[str, dict[str, Any]], int]:
    """Ask every gateway at the same time; returns the answers, and the exit code for those that gave none."""
    from gateway.server.token import read_token

    settings = read_settings()
    token = read_token(settings)
    named = addresses(admin, settings)

    async def work() -> list[dict[str, Any] | BaseException]:
        return await asyncio.gather(*(ask(address, token) for address in named), return_exceptions=True)

    documents, code = {}, 0
    for address, answer in zip(named, asyncio.run(work()), strict=True):
        if isinstance(answer, GatewayError):
            say(str(answer), err=True)
            code = max(code, answer.exit_code)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            documents[address] = answer
    return documents, code


def addresses(admin: list[str] | None, settings: Settings) -> list[str]:
    """Return the admin ports that a command is about, each once: those named, else the one of these settings."""
    named = admin or [own_address(settings)]
    return list(dict.fromkeys(one for address in named for one in _behind(address)))


def _behind(address: str) -> list[str]:
    """Return the address itself, or those that a name has now (`dns+http://name:port`): replicas come and go."""
    if not address.startswith("dns+"):
        return [address]
    parts = urlsplit(address.removeprefix("dns+"))
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        cause = cause_of(error) if isinstance(error, OSError) else "its port is no number"
        raise UnreachableError(f"{address}: cannot be looked up: {cause}; name the admin port with --admin") from error
    hosts = (f"[{where[0]}]" if family is socket.AF_INET6 else str(where[0]) for family, *_, where in found)
    return sorted({f"{parts.scheme}://{host}:{parts.port or 80}" for host in hosts})


def why(reason: str) -> str:
    """Return why an endpoint is held, as gateways take it. Raises typer.BadParameter."""
    reason = reason.strip()
    if not reason:
        raise typer.BadParameter("say why the endpoint is held", param_hint="--reason")
    if not reason.isprintable():  # among others, bytes of the terminal that are no UTF-8
        raise typer.BadParameter("expected one line of text", param_hint="--reason")
    if len(reason) > LONGEST_REASON:
        told = f"got {len(reason)} characters, expected at most {LONGEST_REASON}"
        raise typer.BadParameter(told, param_hint="--reason")
    return reason


def who() -> str:
    """Return who runs this command, as `user@host`."""
    user = "unknown"
    with suppress(OSError, KeyError):  # a container's user may have no name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def own_address(settings: Settings) -> str:
    """Return where the gateway of these settings is asked: one that listens on all addresses, on any of them."""
    host = f"[{settings.admin_host}]" if ":" in settings.admin_host else settings.admin_host
    return f"http://{host}:{settings.admin_port}"
