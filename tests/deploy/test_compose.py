"""docker-compose.yml is what Compose takes, and in step with the settings and the files it mounts."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.process import COMMAND
from support.wire import exchange, request

from gateway.rules.load import load
from gateway.settings import PREFIX, Settings

FILE = Path("docker-compose.yml")
SCHEMA = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
GATEWAY = SERVICES["gateway"]
UPSTREAMS = {"portfolio": "portfolio", "monteCarlo": "monte-carlo"}


def checked(file: Path) -> "subprocess.CompletedProcess[str]":
    tool = Path(sys.executable).with_name(SCHEMA[0])
    return subprocess.run([tool, *SCHEMA[1:], file], capture_output=True, text=True, check=False)


def test_it_is_what_the_compose_specification_says(tmp_path: Path) -> None:
    """The file has the schema of the Compose specification; one with a misspelt member has not."""
    assert checked(FILE).returncode == 0
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("read_only:", "readonly:"))
    assert checked(wrong).returncode == 1


def test_everything_is_there() -> None:
    """The gateway, both upstreams, the database and all that watches."""
    assert set(SERVICES) == {
        *("gateway", "portfolio", "monte-carlo", "postgres", "migration"),
        *("prometheus", "alertmanager", "grafana"),
    }
    assert {volume.partition(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])} >= {
        *DOCUMENT["volumes"]
    }


def test_environment_is_that_of_the_settings() -> None:
    """Every variable of ours is a setting, and together they are settings the gateway takes."""
    known = {PREFIX + name.upper() for name in Settings.model_fields if name != "dry_run"}
    for service in SERVICES.values():
        ours = {name for name in service.get("environment", {}) if name.startswith(PREFIX)}
        assert ours <= known
    given = {name.removeprefix(PREFIX).lower(): value for name, value in GATEWAY["environment"].items()}
    settings = Settings.model_validate(given)
    assert (settings.port, settings.admin_port) == (8080, 8081)
    assert settings.watch_config


def test_only_the_gateway_is_open_to_others() -> None:
    """All share its network; of the ports, every other than the gateway's own is published on loopback alone."""
    for name, service in SERVICES.items():
        if name != "gateway":
            assert service["network_mode"] == "service:gateway", name
            assert "ports" not in service, name
    published = [str(port).rpartition(":")[0] for port in GATEWAY["ports"]]
    assert [address for address in published if not address.startswith("127.0.0.1:")] == ["8080"]
    assert [str(port).rpartition(":")[2] for port in GATEWAY["ports"]] == ["8080", "8081", "9090", "9093", "3000"]


def test_mounted_files_are_there() -> None:
    """Every path on this side of a mount is there; the configuration is mounted as a directory."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            here, _, there = volume.partition(":")
            assert there.endswith(":ro") == here.startswith("./"), volume
            if here.startswith("./"):
                assert Path(here).exists(), volume
    config = GATEWAY["environment"]["STAGE_GATEWAY_CONFIG"]
    assert f"./config:{Path(config).parent}:ro" in GATEWAY["volumes"]
    assert Path("config", Path(config).name).is_file()
    assert f"state:{GATEWAY['environment']['STAGE_GATEWAY_STATE']}" in GATEWAY["volumes"]
    assert Path("config").is_dir()


def test_secrets_are_where_they_are_looked_for() -> None:
    """The token is one file for the gateway and Alertmanager, and in no file of the repository."""
    assert GATEWAY["environment"]["STAGE_GATEWAY_ADMIN_TOKEN_FILE"] == "/run/secrets/admin-token"
    assert GATEWAY["secrets"] == ["admin-token"]
    (secret,) = SERVICES["alertmanager"]["secrets"]
    assert secret["target"] in Path("deploy/alertmanager/alertmanager.yml").read_text()
    assert DOCUMENT["secrets"]["admin-token"]["file"] == "./admin-token"
    assert "admin-token" in Path(".gitignore").read_text().split()


def test_upstreams_serve_where_the_configuration_looks() -> None:
    """The sample APIs listen on the ports that every mounted configuration of the gateway names."""
    for file in (Path("config/gateway.json"), *Path("config/phases").glob("*.json")):
        upstreams = load(file).upstreams
        for name, service in UPSTREAMS.items():
            command = SERVICES[service]["command"]
            assert command == ["demo", "--upstream", service, "--port", str(upstreams[name].port)]
            assert upstreams[name].host == "127.0.0.1"


def test_time_to_drain() -> None:
    """The gateway is given the time that its configuration takes to drain."""
    grace = int(GATEWAY["stop_grace_period"].removesuffix("s"))
    for file in (Path("config/gateway.json"), *Path("config/phases").glob("*.json")):
        assert grace >= load(file).limits.drain_seconds + 5


def test_what_watches_looks_where_the_others_are() -> None:
    """Prometheus, Alertmanager and Grafana meet the ports that are published, on the loopback that all share."""
    admin = GATEWAY["environment"]["STAGE_GATEWAY_ADMIN_PORT"]
    scraped = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert f"127.0.0.1:{admin}" in json.dumps(scraped)
    assert f"http://127.0.0.1:{admin}/-/alerts" in Path("deploy/alertmanager/alertmanager.yml").read_text()
    source = Path("deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    assert "url: http://127.0.0.1:9090" in source
    provider = yaml.safe_load(Path("deploy/grafana/provisioning/dashboards/stage-gateway.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in SERVICES["grafana"]["volumes"]


@pytest.mark.parametrize(("name", "target"), [("portfolio", "/api/portfolio/strategies"), ("monte-carlo", "/")])
def test_sample_upstream_runs_alone(name: str, target: str) -> None:
    """`demo --upstream` serves one API, says where, and ends in good order on SIGTERM."""
    command = [str(COMMAND), "demo", "--upstream", name, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert port is not None, said
            assert exchange(int(port[1]), request("GET", target)).status in {200, 404}
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
