"""Makes the configuration file of a step, and says how it differs from another one. Pure."""

import difflib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from os import path as paths
from pathlib import Path
from typing import Any

from gateway.promotion.enforcement import Enforcement, enforcement
from gateway.promotion.plan import Plan, Step
from gateway.rollout.policy import Mode
from gateway.rules.load import Rules, parse

_NOTHING = Enforcement(Mode.OFF, 0.0)


def note_of(
    plan: Plan, step: Step, before: Mapping[str, Any] | None, *, by: str, at: datetime, forced: str | None
) -> dict[str, Any]:
    """Return the note in a step's file. `before` is that of the file in force: what was forced up to here stays told.

    `forced` is why this step is taken though its gate is not ready, None when it is.
    """
    numbers = {one.name: one.number for one in plan.steps}
    told = [dict(one) for one in (before or {}).get("forced", ()) if numbers.get(one["step"], 0) < step.number]
    when = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if forced is not None:
        told.append({"step": step.name, "reason": forced, "by": by, "at": when})
    note = {"phase": step.phase, "step": step.number, "by": by, "at": when}
    return {**note, "forced": told} if told else note


def made(step: Step, note: Mapping[str, Any], folder: Path | None) -> str:
    """Return the text of a step's file for a folder; None for one that stands in no folder and needs no schema."""
    document = json.loads(step.text)
    schema = document.pop("$schema", None)
    if isinstance(schema, str) and folder is not None:
        document = {"$schema": _from(folder, schema, Path(step.rules.source).parent), **document}
    text = written({**document, "rollout": dict(note)})
    found = parse(text, source=step.name, authorities=step.rules.authorities).fingerprint
    if found != step.fingerprint:
        raise AssertionError(f"the file made for {step.name} is {found}, not {step.fingerprint}")
    return text


def written(document: Mapping[str, Any]) -> str:
    """Return a document as our files are written."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def patch(name: str, key: str, text: str | None) -> str:
    """Return a patch that puts a file into a ConfigMap; one that changes nothing when there is no text."""
    if text is None:
        return "{}\n"
    return written({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})


def difference(old: str, new: str, old_name: str, new_name: str) -> list[str]:
    """Return the unified difference of two configuration files, each laid out the same way, without their notes."""
    lines = difflib.unified_diff(_laid_out(old), _laid_out(new), old_name, new_name, lineterm="")
    return list(lines)


def summary(before: Mapping[str, Enforcement], after: Rules) -> Iterator[str]:
    """Yield for every endpoint that is treated otherwise from what to what, in words."""
    then = enforcement(after)
    for pattern in {**before, **then}:
        old, new = before.get(pattern, _NOTHING), then.get(pattern, _NOTHING)
        if old != new:
            direction = "stricter" if old.falls_below(new) else "less strict"
            yield f"{pattern} gets {direction}: from {told(old)} to {told(new)}"


def told(found: Enforcement) -> str:
    """Return how an endpoint is treated, in words."""
    return f"{found.mode} at {found.percent:g} %" if found.mode is Mode.ENFORCE else str(found.mode)


def _laid_out(text: str) -> list[str]:
    document = json.loads(text) if text.strip() else {}
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name not in {"rollout", "$schema"}}
    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()


def _from(folder: Path, schema: str, home: Path) -> str:
    """Return where a schema is, named from another folder."""
    if "://" in schema or schema.startswith("/"):
        return schema
    found = paths.relpath(home / schema, folder)
    return found if found.startswith(".") else f"./{found}"
