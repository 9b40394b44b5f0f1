"""docker-compose.yml is what Compose takes, and in step with what it builds, mounts and sets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from gateway.rules.load import load
from gateway.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = ("gateway", "upstreams", "migration")
CHECK = Path(sys.executable).with_name("check-jsonschema")


def mounts(service: str) -> dict[str, str]:
    """Return what a service mounts, by where it sees it."""
    parts = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {place: source for source, place, *_ in parts}


def secrets(service: str) -> dict[str, str]:
    """Return the secrets of a service, by where it sees them."""
    found = {}
    for one in SERVICES[service].get("secrets", []):
        short = isinstance(one, str)
        found[f"/run/secrets/{one}" if short else one["target"]] = one if short else one["source"]
    return found


def on_host(service: str, path: str) -> Path:
    """Return the file of this repository that a service sees at a path."""
    for place, source in mounts(service).items():
        if path.startswith(f"{place}/"):
            return ROOT / source / path.removeprefix(f"{place}/")
    raise AssertionError(f"{service} mounts nothing at {path}")


def has_the_schema(file: Path) -> bool:
    command = [str(CHECK), "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_it_has_the_schema_of_the_specification(tmp_path: Path) -> None:
    """The file is what the Compose specification's own schema takes; one with a misspelt member is not."""
    file = ROOT / "docker-compose.yml"
    assert has_the_schema(file)
    wrong = tmp_path / file.name
    wrong.write_text(file.read_text().replace("read_only:", "readonly:"))
    assert not has_the_schema(wrong)


def test_everything_in_the_gateways_network_begins_anew_with_it() -> None:
    """What shares its network has none once it is gone, so Compose restarts it with the gateway."""
    for name, service in SERVICES.items():
        if service.get("network_mode") == "service:gateway":
            assert service["depends_on"]["gateway"] == {"condition": "service_started", "restart": True}, name


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_declared(name: str) -> None:
    """Secrets, volumes and services that are named are there, ports are published on loopback, images have a tag."""
    service = SERVICES[name]
    assert set(secrets(name).values()) <= set(DOCUMENT["secrets"])
    for source in mounts(name).values():
        assert source in DOCUMENT["volumes"] or (ROOT / source).is_dir(), source
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port
    assert re.fullmatch(r"[a-z/-]+:v?\d[\d.]*", service["image"])


def test_every_volume_and_secret_is_used() -> None:
    """No volume and no secret is declared in vain; a secret is a file that git does not see."""
    assert set(DOCUMENT["volumes"]) <= {source for name in SERVICES for source in mounts(name).values()}
    assert set(DOCUMENT["secrets"]) == {source for name in SERVICES for source in secrets(name).values()}
    files = [one["file"] for one in DOCUMENT["secrets"].values()]
    made = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.stdout.split() == files


def test_make_secrets_writes_what_is_mounted(tmp_path: Path) -> None:
    """`make secrets` writes every file that is a secret, and leaves those that are there."""
    for _ in range(2):
        subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "secrets"], cwd=tmp_path, check=True)
        written = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
        assert set(written) == {Path(one["file"]).name for one in DOCUMENT["secrets"].values()}
        assert all(re.fullmatch(r"[0-9a-f]{48}", text) for text in written.values())
        (tmp_path / "secrets" / "admin-token").chmod(0o600)
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert (tmp_path / "secrets" / "database-password").stat().st_mode & 0o777 == 0o444


def test_every_setting_is_one() -> None:
    """Every STAGE_GATEWAY_ variable is a setting, and its value is one that the settings take."""
    text = (ROOT / "docker-compose.yml").read_text()
    named = set(re.findall(rf"{PREFIX}(\w+)", text))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}
    given = SERVICES["gateway"]["environment"]
    settings = Settings(**{name.removeprefix(PREFIX).lower(): value for name, value in given.items()})
    assert settings.watch_config
    assert str(settings.admin_token_file) in secrets("gateway")


def test_our_services_are_of_this_version_and_of_a_target_of_the_dockerfile() -> None:
    """Tags and build arguments carry the package's version, and each target is a stage of the Dockerfile."""
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name in OURS:
        assert SERVICES[name]["image"].endswith(f":{__version__}")
        if build := SERVICES[name].get("build"):
            assert build["args"] == {"VERSION": __version__}
            assert build["target"] in stages
            assert (ROOT / build["context"] / "Dockerfile").is_file()


def test_the_mounts_are_where_the_image_looks() -> None:
    """The configuration is mounted as a directory where the image has it, and state where the image writes."""
    image = dict(re.findall(rf"{PREFIX}(\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    for name in ("gateway", "upstreams", "migration"):
        assert load(on_host(name, image["CONFIG"])).upstreams
    assert mounts("gateway")[image["STATE"]] == "state"
    assert image["STATE"] in mounts("migration")


def test_ports_are_those_of_the_files() -> None:
    """What is published, and what the shared network's files name, are the ports that the services listen on."""
    published = {int(port.split(":")[1]) for port in SERVICES["gateway"]["ports"]}
    defaults = {"port": 8080, "grafana": 3000, "prometheus": 9090, "alertmanager": 9093}
    assert Settings.model_fields["port"].default == defaults["port"]
    assert published == set(defaults.values())
    watching = yaml.safe_load(on_host("prometheus", "/etc/prometheus/prometheus.yml").read_text())
    [gateways, _] = watching["scrape_configs"]
    assert gateways["static_configs"][0]["targets"] == [f"127.0.0.1:{Settings.model_fields['admin_port'].default}"]
    [manager] = watching["alerting"]["alertmanagers"]
    assert manager["static_configs"][0]["targets"] == [f"127.0.0.1:{defaults['alertmanager']}"]
    source = yaml.safe_load(on_host("grafana", "/etc/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == f"http://127.0.0.1:{defaults['prometheus']}"
    for upstream in load(ROOT / "config" / "gateway.json").upstreams.values():
        assert upstream.host == "127.0.0.1"
    others = {name: service.get("network_mode") for name, service in SERVICES.items() if name != "gateway"}
    assert set(others.values()) == {"service:gateway"}


def test_files_that_services_are_told_of_are_mounted() -> None:
    """Each configuration, token and dashboard is where the service that needs it is told to look."""
    for name, option in (("prometheus", "--config.file="), ("alertmanager", "--config.file=")):
        [file] = [word.removeprefix(option) for word in SERVICES[name]["command"] if word.startswith(option)]
        assert on_host(name, file).is_file()
    routes = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    [hook] = next(one for one in routes["receivers"] if one["name"] == "gateways")["webhook_configs"]
    token = secrets("alertmanager")[hook["http_config"]["authorization"]["credentials_file"]]
    assert token == secrets("gateway")[SERVICES["gateway"]["environment"][f"{PREFIX}ADMIN_TOKEN_FILE"]]
    boards = yaml.safe_load(on_host("grafana", "/etc/grafana/provisioning/dashboards/stage-gateway.yml").read_text())
    board = on_host("grafana", f"{boards['providers'][0]['options']['path']}/stage-gateway.json")
    assert json.loads(board.read_text())["title"]
    for name, variable in (("postgres", "POSTGRES_PASSWORD_FILE"), ("grafana", "GF_SECURITY_ADMIN_PASSWORD__FILE")):
        assert SERVICES[name]["environment"][variable] in secrets(name)


def test_the_gateway_may_drain() -> None:
    """Compose waits longer than `drainSeconds` before it kills the gateway."""
    drain = load(ROOT / "config" / "gateway.json").limits.drain_seconds
    assert int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) > drain


def test_ours_are_confined() -> None:
    """Our containers have a read-only root and no capability."""
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_the_migration_takes_its_password_from_the_file(tmp_path: Path) -> None:
    """The entry point makes the database's address from the secret and passes its arguments on."""
    [shell, flag, script, name] = [word.replace("$$", "$") for word in SERVICES["migration"]["entrypoint"]]
    (tmp_path / "database-password").write_text("0af3")
    program = tmp_path / "stage-gateway"
    program.write_text('#!/bin/sh\necho "$STAGE_GATEWAY_DATABASE_URL" "$@"\n')
    program.chmod(0o755)
    [place] = secrets("migration")
    words = [shell, flag, script.replace(place, str(tmp_path / "database-password")), name, "migrate", "plan"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    made = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert made.stdout == "postgresql://stages:0af3@127.0.0.1:5432/stages migrate plan\n"
