"""Reading the configuration again: a good file replaces the old one whole, a bad one changes nothing."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.rules.load import load, warnings
from gateway.server.active_configuration import ActiveConfiguration, Steps
from gateway.server.watcher import Watcher
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger("gateway.config")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the last reading of the file came to; `errors` is empty when it is in force."""

    at: datetime
    errors: tuple[str, ...]


class Reloader:
    """Puts the file as it is now in force.

    `steps` reads the plan of a rollout, None where there is none to be read.
    """

    def __init__(
        self,
        path: Path,
        dry_run: bool | None,
        active: ActiveConfiguration,
        metrics: Metrics,
        steps: Callable[[], Steps] | None = None,
    ) -> None:
        self._path = path
        self._dry_run = dry_run
        self._active = active
        self._metrics = metrics
        self._steps = steps
        self._reading: asyncio.Task[None] | None = None
        self._watcher = Watcher(path, self.reload)
        self.last = Outcome(datetime.now(UTC), ())

    async def watch(self) -> None:
        """Reload whenever the file's content has changed, until cancelled."""
        await self._watcher.run()

    def reload(self) -> Outcome:
        """Read the file again and return what came of it."""
        self._watcher.note()  # before it is read: what changes from here on is seen
        old = self._active.rules
        try:
            rules = load(self._path, dry_run=self._dry_run)
            self._active.put_in_force(rules)
        except Exception as error:  # whatever a file does to us, the old one stays in force
            errors = ["the reload failed; the log says why"]
            if isinstance(error, ConfigurationError):
                errors = str(error).splitlines()
            else:
                _log.exception("the reload failed")
            self.last = Outcome(datetime.now(UTC), tuple(errors))
            self._metrics.reloads.labels("error").inc()
            for line in self.last.errors:
                _log.error("%s", line)
            _log.error("the configuration in force stays", extra={"config": old.fingerprint})
            return self.last
        self.last = Outcome(datetime.now(UTC), ())
        self._metrics.reloads.labels("success").inc()
        for warning in warnings(rules, dry_run=self._dry_run):
            _log.warning("%s", warning)
        note = {} if rules.rollout is None else {"rollout": dict(rules.rollout)}
        _log.info("configuration reloaded", extra={"config": rules.fingerprint, "was": old.fingerprint, **note})
        self.read_plan()
        return self.last

    def read_plan(self) -> None:
        """Read the plan anew, in a thread: it may name many files. It decides nothing, so a fault of it is logged."""
        if self._steps is not None:
            self._reading = asyncio.get_running_loop().create_task(self._read_plan(self._steps))

    async def _read_plan(self, steps: Callable[[], Steps]) -> None:
        try:
            self._active.follow(await asyncio.to_thread(steps))
        except Exception:  # whatever it is, it must not touch what is in force
            _log.exception("the plan cannot be read")
