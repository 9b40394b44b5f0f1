"""The environment: frozen `Settings`. No instance lives here; the command line makes one and passes it on.

Kubernetes sets variables for every Service there is when a pod starts. Those of one that is called stage-gateway…
begin as ours do; they are known, and mean nothing here.
https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import ConfigurationError
from gateway.faults import did_you_mean, expectation, shown

PREFIX = "STAGE_GATEWAY_"
_DRY_RUN = ("DRY_RUN", PREFIX + "DRY_RUN")
_LINK = re.compile(r"(_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)\Z")
_ADDRESS_OF_LINK = re.compile(r"(tcp|udp|sctp)://")


def default_state() -> str:
    """Return where state is kept unless told otherwise: a folder of the user's, as XDG has it."""
    return str(Path("~/.local/state/stage-gateway").expanduser())


def _lower(given: object) -> object:
    return given.lower() if isinstance(given, str) else given


def _directory_or_redis(given: str) -> str:
    scheme, mark, _ = given.partition("://")
    if mark and scheme.lower() not in {"redis", "rediss"}:
        raise ValueError("a directory, or a redis:// or rediss:// address")
    return given


class Settings(BaseSettings):
    """What the process takes from its environment, prefix `STAGE_GATEWAY_` (`DRY_RUN` may do without)."""

    # An empty variable is one that was left out: deployments write DRY_RUN="" for "not set".
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    config: Path = Field(default=Path("config/gateway.json"), description="configuration file")
    plan: Path = Field(default=Path("config/rollout.json"), description="plan of the rollout")
    prometheus_url: str | None = Field(default=None, description="Prometheus that `readiness` asks for its figures")
    host: str = Field(default="0.0.0.0", description="address to serve on")  # noqa: S104 - a server's default
    port: int = Field(default=8080, ge=0, le=65535)
    admin_host: str = Field(default="127.0.0.1", description="address of the admin port")
    admin_port: int = Field(default=8081, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256, description="processes that carry requests, one a core")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    log_format: Annotated[Literal["auto", "json", "text"], BeforeValidator(_lower)] = Field(
        default="auto", description="auto: text for people on a terminal, else json"
    )
    admin_token_file: Path | None = Field(default=None, description="file with the token for changing calls")
    database_url: str | None = Field(default=None, description="address of the PostgreSQL database to migrate")
    state: Annotated[str, AfterValidator(_directory_or_redis)] = Field(
        default_factory=default_state,
        description="where overrides outlive the process: a directory, or redis:// for several replicas",
    )
    watch_config: bool = Field(default=False, description="reload also when the content of the file changes")
    lane: bool = Field(
        default=True,
        description="carry plain small requests in the express lane; off, for diagnosis and comparison, none is",
    )
    dry_run: bool | None = Field(default=None, validation_alias=AliasChoices(*_DRY_RUN))

    @model_validator(mode="before")
    @classmethod
    def _leave_links_out(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if not _ADDRESS_OF_LINK.match(str(value))}

    @property
    def state_is_shared(self) -> bool:
        """Whether the state is kept in Redis, which several replicas share."""
        return "://" in self.state

    @property
    def folder(self) -> Path:
        """The directory for what belongs to this host alone."""
        return Path(default_state() if self.state_is_shared else self.state)


def read_settings() -> Settings:
    """Return the settings of this process. Raises ConfigurationError that names every wrong variable."""
    dry_run = {name: value for name in _DRY_RUN if (value := os.environ.get(name))}
    if len({value.lower() for value in dry_run.values()}) > 1:
        both = " and ".join(f"{name}={value}" for name, value in dry_run.items())
        raise ConfigurationError("environment", [f"{both} contradict each other, expected one of the two"])
    try:
        return Settings()
    except ValidationError as error:
        problems = []
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0])
            variable = name if name.isupper() else PREFIX + name.upper()
            given = str(fault["input"])
            got = "an address" if "://" in given else shown(given)  # which may hold a password
            problems.append(f"{variable}: got {got}, expected {expectation(fault)}")
        raise ConfigurationError("environment", problems) from None


def unread_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each variable of `environment` that looks like one of ours and is read by nothing."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable, value in environment.items():
        name = variable.upper()  # they are read in letters of either case
        if not name.startswith(PREFIX) or name in known or _LINK.search(name) or _ADDRESS_OF_LINK.match(value):
            continue
        yield f"environment: {variable} is read by nothing{did_you_mean(name, known)}"
