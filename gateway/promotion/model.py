"""The plan's file (`config/rollout.json`) as a model: every member, its type, its default, its meaning.

The descriptions here are the ones of the published schema (`config/rollout.schema.json`).
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag

from gateway.rules.model import Count, Member, Percent, Seconds

_SHARE = "in percent of the validations"
Climb = Annotated[tuple[Percent, ...], Field(min_length=1, description="Percentages, each above the one before.")]
Climbs = Annotated[Mapping[str, Climb], Field(min_length=1)]
Factor = Annotated[float, Field(ge=1)]


class Gates(Member):
    """Thresholds that the figures since the step in force must keep before the next is taken.

    A member that is left out is the plan's, and there the default.
    """

    max_refused_percent: Percent | None = Field(
        default=None, description=f"How many requests are refused or would be, {_SHARE}. Default: 0.5."
    )
    min_validations: Count | None = Field(default=None, description="Validations at every endpoint. Default: 1000.")
    min_validations_of: Mapping[str, Count] | None = Field(
        default=None, description="The same for single endpoints, by their patterns."
    )
    p99_floor_seconds: Seconds | None = Field(default=None, description="A p99 of judging up to this. Default: 0.005.")
    p99_factor: Factor | None = Field(default=None, description="Or up to so many times its baseline. Default: 2.")
    unknown_floor_percent: Percent | None = Field(
        default=None, description=f"Requests with unknown values up to this, {_SHARE}. Default: 0.1."
    )
    unknown_factor: Factor | None = Field(
        default=None, description="Or up to so many times their share before the step. Default: 1.5."
    )
    alerts: tuple[str, ...] | None = Field(
        default=None, description="Alerts of which none may fire. Default: all that are about requests."
    )
    verified: bool | None = Field(
        default=None,
        description="The last report of verify must have passed, under this vocabulary, after the last run of the "
        "migration. Default: false.",
    )


def _kind(percent: object) -> str:
    """Return which of the kinds of percentages a value is to be, so that its faults are told as that kind's alone."""
    return "none" if percent is None else "object" if isinstance(percent, Mapping) else "list"


class Phase(Member):
    """One phase: a whole configuration, and how it is climbed to."""

    file: Annotated[str, Field(min_length=1, description="Configuration file, from the folder of the plan.")]
    percent: Annotated[
        Annotated[Climb, Tag("list")] | Annotated[Climbs, Tag("object")] | Annotated[None, Tag("none")],
        Discriminator(_kind),
    ] = Field(
        default=None,
        description="Percentages to climb, for all endpoints at enforce or by endpoint; the last is the file's own. "
        "Default: one step, with the file's own.",
    )
    gates: Gates | None = Field(default=None, description="Where they differ from the plan's, for steps to this phase.")


class File(Member):
    """The plan of a rollout."""

    model_config = ConfigDict(title="Plan of a rollout")

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    gates: Gates = Field(default=Gates(), description="Thresholds for every step.")
    verify_report: Annotated[str, Field(min_length=1)] = Field(
        default="report.json", description="Report of `verify --output`, from the folder where commands run."
    )
    phases: tuple[Phase, ...] = Field(min_length=1, description="In the order in which they are taken.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema(by_alias=True)}
