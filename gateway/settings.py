"""The environment: frozen `Settings`. No instance lives here; the command line makes one and passes it on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import ConfigurationError

PREFIX = "STAGE_GATEWAY_"


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
    """What the process takes from its environment, prefix `STAGE_GATEWAY_` (`DRY_RUN` has none)."""

    # An empty variable is one that was left out: deployments write DRY_RUN="" for "not set".
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    config: Path = Field(default=Path("config/gateway.json"), description="configuration file")
    host: str = Field(default="0.0.0.0", description="address to serve on")  # noqa: S104 - a server's default
    port: int = Field(default=8080, ge=0, le=65535)
    admin_host: str = Field(default="127.0.0.1", description="address of the admin port")
    admin_port: int = Field(default=8081, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256, description="processes that carry requests, one a core")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    admin_token_file: Path | None = Field(default=None, description="file with the token for changing calls")
    database_url: str | None = Field(default=None, description="address of the PostgreSQL database to migrate")
    state: Annotated[str, AfterValidator(_directory_or_redis)] = Field(
        default_factory=default_state,
        description="where overrides outlive the process: a directory, or redis:// for several replicas",
    )
    watch_config: bool = Field(default=False, description="reload also when the content of the file changes")
    dry_run: bool | None = Field(default=None, validation_alias=AliasChoices("DRY_RUN"))

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
    try:
        return Settings()
    except ValidationError as error:
        problems = []
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0])
            variable = name if name.isupper() else PREFIX + name.upper()
            given = str(fault["input"])
            shown = "an address" if "://" in given else repr(given)  # which may hold a password
            expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            problems.append(f"{variable}: got {shown}, expected {expected}")
        raise ConfigurationError("environment", problems) from None
