"""`stage-gateway rollback`: the whole way back at once, or a rehearsal of it that changes nothing."""

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.asking import AdminOption, addresses, who, why
from gateway.commands.environment import ConfigOption, SpecOption
from gateway.commands.output import JsonOption, print_json, say
from gateway.commands.steps import Outcome, Result, Step, in_background, tried
from gateway.errors import ConfigurationError, UnreachableError
from gateway.settings import PREFIX, Settings, read_settings

_NOT_BACK = 3
_READS_SECONDS = 6.0  # the connection's own bounds, with room
_VERIFY_SECONDS = 600.0  # it reads whole tables, and modes and reads are back by then
_DATABASE = "database"


def rollback(
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Check every right, address and token it will need, and change nothing.")
    ] = False,
    admin: AdminOption = None,
    reason: Annotated[str, typer.Option(metavar="REASON", help="Why; it stands with every endpoint.")] = "rollback",
    modes_only: Annotated[
        bool, typer.Option("--modes-only", help="There is no database, or it is to be left as it is.")
    ] = False,
    spec: SpecOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Go the whole way back at once: endpoints to warn on all gateways, reads to legacy, then verify.

    Each is tried whatever the others gave. Nothing is made stricter, and what is held already stays as it is. Exit 3,
    naming each with its cure, when modes or reads are not back on all; what verify finds changes no exit code. With
    --rehearse, exit 3 when anything is missing that this will need.

    \b
    Example: stage-gateway rollback --admin http://10.0.0.1:8081 --admin http://10.0.0.2:8081 --reason "bad aliases"
             stage-gateway rollback --rehearse
    """  # noqa: D301 - the mark for lines that are not to be wrapped
    reason = why(reason)
    made = _Rollback(read_settings(), spec, config, rehearse=rehearse, modes_only=modes_only, as_json=as_json)
    return asyncio.run(made.run(admin, reason))


class _Rollback:
    """One rollback, and how it is told."""

    def __init__(
        self,
        settings: Settings,
        spec: Path | None,
        config: Path | None,
        *,
        rehearse: bool,
        modes_only: bool,
        as_json: bool,
    ) -> None:
        self._settings = settings
        self._spec = spec
        self._config = config
        files = (("--spec", spec), ("--config", config))
        self._given = [word for name, file in files if file is not None for word in (name, str(file))]
        self._rehearse = rehearse
        self._modes_only = modes_only
        self._as_json = as_json
        self._began = time.monotonic()

    async def run(self, admin: list[str] | None, reason: str) -> int:
        """Try all steps, tell of each as it ends, and return the exit code."""
        way = self._modes(reason)
        works = [tried("modes", address, way(address)) for address in addresses(admin, self._settings)]
        if not self._modes_only:
            works.append(tried("reads", _DATABASE, self._reads()))
        tasks = [asyncio.create_task(work) for work in works]
        for ended in asyncio.as_completed(tasks):
            self._tell(await ended)
        steps = needed = [task.result() for task in tasks]
        summary = self._summary(needed)
        if not self._rehearse:
            self._tell_end(summary, needed)  # first: the verifier may take its time
        if not self._modes_only:
            verified = await tried("verify", _DATABASE, self._verify())
            self._tell(verified)
            steps = [*needed, verified]
        if self._rehearse:  # which is about what verifies, too
            needed, summary = steps, self._summary(steps)
            self._tell_end(summary, [])
        if self._as_json:
            print_json(self._document(steps, needed, summary))
        for step in steps:
            if step.fault is not None:
                raise step.fault
        return _NOT_BACK if _missing(needed) else 0

    def _modes(self, reason: str) -> Callable[[str], Awaitable[Result]]:
        from gateway.commands.modes_back import Way  # what speaks HTTP takes long to import
        from gateway.server.token import read_token

        token, lacking = None, None
        try:
            token = read_token(self._settings)
        except ConfigurationError as error:  # the reads go back all the same
            lacking = error
        return Way(token, lacking, who(), reason, self._rehearse).take

    async def _reads(self) -> Result:
        url = self._database()

        def work() -> Result:
            from gateway.commands import reads_back

            return (reads_back.rehearse_switch if self._rehearse else reads_back.switch)(self._spec, url)

        return await in_background(work, _READS_SECONDS, "see what holds, with: stage-gateway reads status")

    async def _verify(self) -> Result:
        url = self._database()

        def work() -> Result:
            from gateway.commands import reads_back

            made = reads_back.rehearse_verify if self._rehearse else reads_back.verify
            return made(self._spec, self._config, url)

        bound = _READS_SECONDS if self._rehearse else _VERIFY_SECONDS
        return await in_background(work, bound, "check by itself, with: stage-gateway verify")

    def _database(self) -> str:
        if not self._settings.database_url:
            raise UnreachableError(
                f"none is named, so nobody can say what readers are shown; set {PREFIX}DATABASE_URL, or say with "
                "--modes-only that there is none"
            )
        if find_spec("psycopg") is None:
            raise UnreachableError(
                "the PostgreSQL driver is not installed; get it with: pip install 'stage-gateway[migration]'"
            )
        return self._settings.database_url

    def _tell(self, step: Step) -> None:
        failed = step.outcome is Outcome.FAILED
        if failed or not self._as_json:
            say(step.line(), err=failed)
        if not self._as_json:
            for line in step.below:
                say(f"{'':>10}{line}")

    def _tell_end(self, summary: str, steps: Sequence[Step]) -> None:
        if self._as_json:
            return
        forward, others = _ways_forward(steps, self._given)
        say(summary)
        for head, commands in (
            ("forward again, when the cause is gone:", forward),
            ("what was held before, each for a reason of its own (see: stage-gateway mode):", others),
        ):
            if commands:
                say("\n".join([head, *(f"  {command}" for command in commands)]))

    def _summary(self, needed: Sequence[Step]) -> str:
        missing = ", ".join(f"{step.name} at {step.place}" for step in _missing(needed))
        if self._rehearse:
            summary = f"nothing was changed; not ready: {missing}" if missing else "nothing was changed; all is ready"
        else:
            what = "modes are" if self._modes_only else "modes and reads are"
            back = f"{what} back after {time.monotonic() - self._began:.2f} s"
            summary = f"NOT back: {missing}; mend that, and give the same command again" if missing else back
        if self._modes_only:
            summary += "; the reads are left as they are"
        return summary

    def _document(self, steps: Sequence[Step], needed: Sequence[Step], summary: str) -> dict[str, Any]:
        forward, others = ([], []) if self._rehearse else _ways_forward(needed, self._given)
        return {
            "rehearsed": self._rehearse,
            "ready" if self._rehearse else "back": not _missing(needed),
            "summary": summary,
            "seconds": round(time.monotonic() - self._began, 3),
            "steps": [step.document() for step in steps],
            "forward": forward,
            "forwardOfHeldBefore": others,
        }


def _missing(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.outcome is not Outcome.DONE]


def _ways_forward(steps: Sequence[Step], given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the commands that take back what these steps did, and those for what was held before."""
    ours: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for step in steps:
        for name, found in (("held", ours), ("kept", others)):
            for pattern in step.details.get(name, ()):
                found.setdefault(pattern, []).extend(("--admin", step.place))
    forward, before = (
        [shlex.join(("stage-gateway", "mode", "--clear", pattern, *admins)) for pattern, admins in found.items()]
        for found in (ours, others)
    )
    if any(step.details.get("reads") == "legacy" for step in steps):
        forward.append(shlex.join(("stage-gateway", "reads", "canonical", *given)))
    return forward, before
