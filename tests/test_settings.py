"""The environment: defaults, names, and what is told of a wrong variable."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway.settings import PREFIX, Settings, read_settings, unread_variables


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away what the process was started with."""
    with monkeypatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(PREFIX + name.upper(), raising=False)
        for name in ("DRY_RUN", "STAGE_GATEWAY_DRY_RUN"):
            patch.delenv(name, raising=False)
        yield


def test_empty_environment_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables the gateway serves on 8080, its admin port 8081 is on loopback, and nothing else is set."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert read_settings().model_dump() == {
        "config": Path("config/gateway.json"),
        "plan": Path("config/rollout.json"),
        "prometheus_url": None,
        "host": "0.0.0.0",
        "port": 8080,
        "admin_host": "127.0.0.1",
        "admin_port": 8081,
        "log_level": "info",
        "log_format": "auto",
        "admin_token_file": None,
        "database_url": None,
        "state": "/home/someone/.local/state/stage-gateway",
        "workers": 1,
        "watch_config": False,
        "lane": True,
        "dry_run": None,
    }


GIVEN: list[tuple[str, str, str, object]] = [
    ("STAGE_GATEWAY_CONFIG", "/etc/gateway.json", "config", Path("/etc/gateway.json")),
    ("STAGE_GATEWAY_HOST", "::1", "host", "::1"),
    ("STAGE_GATEWAY_PORT", "0", "port", 0),
    ("STAGE_GATEWAY_ADMIN_HOST", "0.0.0.0", "admin_host", "0.0.0.0"),
    ("STAGE_GATEWAY_ADMIN_PORT", "65535", "admin_port", 65535),
    ("STAGE_GATEWAY_LOG_LEVEL", "Warning", "log_level", "warning"),
    ("STAGE_GATEWAY_LOG_FORMAT", "JSON", "log_format", "json"),
    ("STAGE_GATEWAY_ADMIN_TOKEN_FILE", "/run/token", "admin_token_file", Path("/run/token")),
    ("STAGE_GATEWAY_STATE", "/var/lib/gateway", "state", "/var/lib/gateway"),
    ("STAGE_GATEWAY_STATE", "rediss://cache:6379/1", "state", "rediss://cache:6379/1"),
    ("STAGE_GATEWAY_DATABASE_URL", "postgresql://db/app", "database_url", "postgresql://db/app"),
    ("STAGE_GATEWAY_WORKERS", "4", "workers", 4),
    ("STAGE_GATEWAY_WATCH_CONFIG", "true", "watch_config", True),
    ("STAGE_GATEWAY_LANE", "off", "lane", False),
    ("STAGE_GATEWAY_LANE", "on", "lane", True),
    ("DRY_RUN", "true", "dry_run", True),
    ("DRY_RUN", "false", "dry_run", False),
    ("STAGE_GATEWAY_DRY_RUN", "true", "dry_run", True),
    ("STAGE_GATEWAY_DRY_RUN", "", "dry_run", None),
    # What a deployment leaves empty it does not set.
    ("DRY_RUN", "", "dry_run", None),
    ("STAGE_GATEWAY_PORT", "", "port", 8080),
    ("STAGE_GATEWAY_CONFIG", "", "config", Path("config/gateway.json")),
    # Not ours.
    ("PORT", "1", "port", 8080),
    # Kubernetes' own, for Services that are called stage-gateway and stage-gateway-admin.
    ("STAGE_GATEWAY_PORT", "tcp://10.96.0.7:80", "port", 8080),
    ("STAGE_GATEWAY_ADMIN_PORT", "tcp://10.96.0.8:8081", "admin_port", 8081),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), GIVEN)
def test_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object
) -> None:
    """Each variable has the prefix, DRY_RUN with or without it; an empty one counts as left out."""
    monkeypatch.setenv(name, text)
    assert getattr(read_settings(), field) == value


WRONG = [
    ("STAGE_GATEWAY_PORT", "abc", "a whole number"),
    ("STAGE_GATEWAY_PORT", "-1", "at least 0"),
    ("STAGE_GATEWAY_ADMIN_PORT", "65536", "at most 65535"),
    ("STAGE_GATEWAY_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ("DRY_RUN", "maybe", "true or false"),
]


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str) -> None:
    """A variable that cannot be used is told by its own name, with its value and what was expected."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert str(caught.value) == f'environment: {name}: got "{text}", expected {expected}'


def test_all_wrong_variables_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several wrong variables are several lines."""
    for name, text, _ in WRONG[2:]:
        monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert len(caught.value.problems) == 3


def test_settings_are_frozen() -> None:
    """What was read cannot be changed."""
    settings = read_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that is what is tried


@pytest.mark.parametrize("address", ["unix://:s3cret@/run/redis", "http://s3cret@host", "redis+tls://:s3cret@host"])
def test_state_that_is_no_store(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address of another kind is no directory of that name but an error, which does not repeat a password."""
    monkeypatch.setenv("STAGE_GATEWAY_STATE", address)
    with pytest.raises(ConfigurationError, match="STAGE_GATEWAY_STATE: got an address, expected a directory") as error:
        read_settings()
    assert "s3cret" not in str(error.value)


def test_dry_run_that_contradicts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """DRY_RUN and STAGE_GATEWAY_DRY_RUN may both be set, but to one value."""
    monkeypatch.setenv("DRY_RUN", "true")
    monkeypatch.setenv("STAGE_GATEWAY_DRY_RUN", "True")
    assert read_settings().dry_run is True
    monkeypatch.setenv("STAGE_GATEWAY_DRY_RUN", "false")
    with pytest.raises(ConfigurationError, match="DRY_RUN=true and STAGE_GATEWAY_DRY_RUN=false contradict each other"):
        read_settings()


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("STAGE_GATEWAY_PROT", "did you mean 'STAGE_GATEWAY_PORT'?"),
        ("STAGE_GATEWAY_ADMINPORT", "did you mean 'STAGE_GATEWAY_ADMIN_PORT'?"),
        ("stage_gateway_dryrun", "did you mean 'STAGE_GATEWAY_DRY_RUN'?"),
        ("STAGE_GATEWAY_MODE_FILE", "did you mean"),
        ("STAGE_GATEWAY_X", ""),
    ],
)
def test_variable_that_nobody_reads(variable: str, hint: str) -> None:
    """A variable with the prefix that is no setting is told, with the nearest one there is."""
    [line] = unread_variables({variable: "1", "PORT": "1", "OTHER_GATEWAY_PORT": "2"})
    assert line.startswith(f"environment: {variable} is read by nothing")
    assert hint in line


def test_every_setting_is_read() -> None:
    """No setting's own variable is told as one that nobody reads, in letters of either case."""
    own = [PREFIX + name.upper() for name in Settings.model_fields] + ["DRY_RUN"]
    assert list(unread_variables({**dict.fromkeys(own, "1"), **dict.fromkeys(map(str.lower, own), "1")})) == []


def test_service_links_are_known() -> None:
    """What Kubernetes sets for Services named stage-gateway, -admin and -redis is told by nobody."""
    links: dict[str, str] = {}
    for service in ("STAGE_GATEWAY", "STAGE_GATEWAY_ADMIN", "STAGE_GATEWAY_REDIS"):
        for protocol in ("tcp", "udp", "sctp"):
            port = f"{service}_PORT_6379_{protocol.upper()}"
            links |= {port: f"{protocol}://10.0.0.1:6379", f"{port}_PROTO": protocol, f"{port}_PORT": "6379"}
            links |= {f"{port}_ADDR": "10.0.0.1", f"{service}_PORT": f"{protocol}://10.0.0.1:6379"}
            links |= {f"{service}_SERVICE_HOST": "10.0.0.1", f"{service}_SERVICE_PORT": "6379"}
            links |= {f"{service}_SERVICE_PORT_HTTP": "6379", f"{service}_SERVICE_PORT_METRICS_2": "6379"}
    assert list(unread_variables(links)) == []
