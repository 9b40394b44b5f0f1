"""Reads a plan and the configuration files of its phases."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigurationError
from gateway.faults import did_you_mean, members_of, path_of, type_problems
from gateway.promotion import model
from gateway.promotion.plan import PhaseFile, Plan, gates_of, steps_of
from gateway.rules.load import parse, read


def load_plan(path: Path) -> Plan:
    """Read and check a plan and everything it names. Raises ConfigurationError with every fault."""
    file = _file(path)
    phases, problems = _phases(path, file)
    steps, faults = steps_of(gates_of(file.gates), phases)
    problems += [*faults, *_unknown_endpoints(file, phases)]
    if problems:
        raise ConfigurationError(str(path), problems)
    return Plan(str(path), tuple(steps), file.verify_report)


def _file(path: Path) -> model.File:
    text = read(path, "name another with --plan or STAGE_GATEWAY_PLAN")
    try:
        return model.File.model_validate_json(text)
    except ValidationError as error:
        parts = [part for part in vars(model).values() if isinstance(part, type) and issubclass(part, BaseModel)]
        raise ConfigurationError(str(path), list(type_problems(error, members_of(*parts)))) from None


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


def _unknown_endpoints(file: model.File, phases: Sequence[PhaseFile]) -> Iterator[str]:
    """Yield the endpoints that gates name and no phase has."""
    known = {pattern for phase in phases for pattern in phase.rules.endpoints.endpoints}
    if len(phases) < len(file.phases):
        return  # the others may be of a phase that cannot be read
    named = [(("gates",), file.gates), *((("phases", n, "gates"), phase.gates) for n, phase in enumerate(file.phases))]
    for steps, gates in named:
        for pattern in (gates.min_validations_of or {}) if gates is not None else ():
            if pattern not in known:
                place = path_of([*steps, "minValidationsOf", pattern])
                hint = did_you_mean(pattern, known)
                yield f"{place}: is no endpoint, expected one of {', '.join(sorted(known))}{hint}"
