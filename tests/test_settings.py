"""The environment: defaults, names, and what is told of a wrong variable."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway.settings import PREFIX, Settings, read_settings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away what the process was started with."""
    with monkeypatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(PREFIX + name.upper(), raising=False)
        patch.delenv("DRY_RUN", raising=False)
        yield


def test_empty_environment_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables the gateway serves on 8080, its admin port 8081 is on loopback, and nothing else is set."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert read_settings().model_dump() == {
        "config": Path("config/gateway.json"),
        "host": "0.0.0.0",
        "port": 8080,
        "admin_host": "127.0.0.1",
        "admin_port": 8081,
        "log_level": "info",
        "admin_token_file": None,
        "database_url": None,
        "state": "/home/someone/.local/state/stage-gateway",
        "workers": 1,
        "watch_config": False,
        "dry_run": None,
    }


GIVEN: list[tuple[str, str, str, object]] = [
    ("STAGE_GATEWAY_CONFIG", "/etc/gateway.json", "config", Path("/etc/gateway.json")),
    ("STAGE_GATEWAY_HOST", "::1", "host", "::1"),
    ("STAGE_GATEWAY_PORT", "0", "port", 0),
    ("STAGE_GATEWAY_ADMIN_HOST", "0.0.0.0", "admin_host", "0.0.0.0"),
    ("STAGE_GATEWAY_ADMIN_PORT", "65535", "admin_port", 65535),
    ("STAGE_GATEWAY_LOG_LEVEL", "Warning", "log_level", "warning"),
    ("STAGE_GATEWAY_ADMIN_TOKEN_FILE", "/run/token", "admin_token_file", Path("/run/token")),
    ("STAGE_GATEWAY_STATE", "/var/lib/gateway", "state", "/var/lib/gateway"),
    ("STAGE_GATEWAY_STATE", "rediss://cache:6379/1", "state", "rediss://cache:6379/1"),
    ("STAGE_GATEWAY_DATABASE_URL", "postgresql://db/app", "database_url", "postgresql://db/app"),
    ("STAGE_GATEWAY_WORKERS", "4", "workers", 4),
    ("STAGE_GATEWAY_WATCH_CONFIG", "true", "watch_config", True),
    ("DRY_RUN", "true", "dry_run", True),
    ("DRY_RUN", "false", "dry_run", False),
    # What a deployment leaves empty it does not set.
    ("DRY_RUN", "", "dry_run", None),
    ("STAGE_GATEWAY_PORT", "", "port", 8080),
    ("STAGE_GATEWAY_CONFIG", "", "config", Path("config/gateway.json")),
    # Not ours.
    ("PORT", "1", "port", 8080),
    ("STAGE_GATEWAY_DRY_RUN", "true", "dry_run", None),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), GIVEN)
def test_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object
) -> None:
    """Each variable has the prefix, but for DRY_RUN; an empty one counts as left out."""
    monkeypatch.setenv(name, text)
    assert getattr(read_settings(), field) == value


WRONG = [
    ("STAGE_GATEWAY_PORT", "abc", "a valid integer, unable to parse string as an integer"),
    ("STAGE_GATEWAY_PORT", "-1", "greater than or equal to 0"),
    ("STAGE_GATEWAY_ADMIN_PORT", "65536", "less than or equal to 65535"),
    ("STAGE_GATEWAY_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ("DRY_RUN", "maybe", "a valid boolean, unable to interpret input"),
]


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str) -> None:
    """A variable that cannot be used is told by its own name, with its value and what was expected."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert str(caught.value) == f"environment: {name}: got {text!r}, expected {expected}"


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
