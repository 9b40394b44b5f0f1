"""Reads a plan and the configuration files of its phases."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigurationError
from gateway.faults import did_you_mean, members_of, path_of, quoted, shown, type_problems
from gateway.promotion import model
from gateway.promotion.gates import ALERTS
from gateway.promotion.plan import PhaseFile, Plan, gates_of, steps_of
from gateway.rules.load import parse, read, read_object, repetitions


def load_plan(path: Path) -> Plan:
    """Read and check a plan and everything it names. Raises ConfigurationError with every fault."""
    file = _file(path)
    phases, problems = _phases(path, file)
    steps, faults = steps_of(gates_of(file.gates), phases)
    problems += [*faults, *_unknown_names(file, phases)]
    if problems:
        raise ConfigurationError(str(path), problems)
    return Plan(str(path), tuple(steps), file.verify_report)


def _file(path: Path) -> model.File:
    text = read(path, "name another with --plan or STAGE_GATEWAY_PLAN")
    problems = list(repetitions(read_object(text, str(path))))
    try:
        file = model.File.model_validate_json(text)
    except ValidationError as error:
        parts = [part for part in vars(model).values() if isinstance(part, type) and issubclass(part, BaseModel)]
        problems += type_problems(error, members_of(*parts), steps_of=_without_tags)
    if problems:
        raise ConfigurationError(str(path), problems)
    return file


def _without_tags(steps: Sequence[str | int]) -> list[str | int]:
    """Drop what pydantic adds to a path that the file does not have: which kind of `percent` it is."""
    return [step for index, step in enumerate(steps) if index == 0 or steps[index - 1] != "percent"]


def _phases(path: Path, file: model.File) -> tuple[list[PhaseFile], list[str]]:
    found, problems = [], []
    for index, phase in enumerate(file.phases):
        at = path.parent / phase.file
        try:
            text = read(at, "name another here")
            found.append(PhaseFile(phase, index, at.stem, text, parse(text, source=str(at))))
        except ConfigurationError as error:
            place = path_of(["phases", index, "file"])
            problems += [f"{place}: {phase.file}: {problem}" for problem in error.problems]
    return found, problems


def _unknown_names(file: model.File, phases: Sequence[PhaseFile]) -> Iterator[str]:
    """Yield the alerts that gates name and that there are not, and the endpoints that no phase has."""
    named = [(("gates",), file.gates), *((("phases", n, "gates"), phase.gates) for n, phase in enumerate(file.phases))]
    known = {pattern for phase in phases for pattern in phase.rules.endpoints.endpoints}
    for steps, gates in named:
        for number, name in enumerate((gates.alerts if gates is not None else None) or ()):
            if name not in ALERTS:
                place = path_of([*steps, "alerts", number])
                yield f"{place}: got {shown(name)}, expected one of {quoted(ALERTS)}{did_you_mean(name, ALERTS)}"
        if len(phases) < len(file.phases):
            continue  # the endpoints may be of a phase that cannot be read
        for pattern in (gates.min_validations_of if gates is not None else None) or ():
            if pattern not in known:
                place = path_of([*steps, "minValidationsOf", pattern])
                hint = did_you_mean(pattern, known)
                yield f"{place}: is no endpoint, expected one of {', '.join(sorted(known))}{hint}"
