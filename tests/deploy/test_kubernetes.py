"""The manifests are valid, name what there is, and are in step with the configuration and the settings."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.clock import PATIENCE
from support.process import Serve

from gateway import __version__
from gateway.cli import main
from gateway.promotion.loading import load_plan
from gateway.rules.load import load
from gateway.settings import PREFIX, Settings, read_settings

ROOT = Path("deploy/kubernetes")
PHASES = sorted(Path("config/phases").glob("*.json"))
OF_KUSTOMIZE = {"Kustomization": "v1beta1", "Component": "v1alpha1"}  # each in the one version it has
UNKNOWN = ("PodMonitor",)  # resources that an operator brings
FILES = sorted(file for file in ROOT.rglob("*.yaml") if file.name != "kustomization.yaml")
APART = ("migration", "results", "rollout")  # which are applied by themselves
KUSTOMIZATIONS = sorted(ROOT.rglob("kustomization.yaml"))
Document = dict[str, Any]


def documents(file: Path) -> list[Document]:
    return list(yaml.safe_load_all(file.read_text()))


ALL = [document for file in FILES for document in documents(file)]


def only(kind: str, name: str) -> Document:
    (found,) = [d for d in ALL if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> list[tuple[str, Document]]:
    return [(document["metadata"]["name"], pod) for document in ALL if (pod := _pod(document)) is not None]


def _pod(document: Document) -> Document | None:
    """Return the pod that a resource is, or makes."""
    spec = document.get("spec", {})
    found = spec if document["kind"] == "Pod" else spec.get("template", spec.get("jobTemplate", {}))
    if document["kind"] == "CronJob":
        found = found["spec"]["template"]
    pod: Document | None = found if document["kind"] == "Pod" else found.get("spec")
    return pod


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def gateway() -> Document:
    pod = only("Deployment", "portfolio")["spec"]["template"]["spec"]
    (found,) = [container for container in pod["containers"] if container["name"] == "stage-gateway"]
    return dict(found)


def kustomized(folder: Path) -> list[Document]:
    """Return what kustomize makes of a folder."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which has kustomize in it, is not installed")
    made = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def _names(given: list[Document]) -> set[tuple[str, str]]:
    return {(document["kind"], document["metadata"]["name"]) for document in given}


def environment(container: Document) -> dict[str, str | None]:
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_resource_is_valid(file: Path) -> None:
    """Each is what Kubernetes' own schema allows, no member unknown."""
    for document in documents(file):
        if document["kind"] not in UNKNOWN:
            kubernetes_validate.validate(document, "1.33", strict=True)


def test_invalid_resources_are_seen() -> None:
    """The check fails for a misspelt member and a wrong type."""
    for broken in ({"replicsa": 1}, {"replicas": "two"}):
        deployment = only("Deployment", "portfolio")
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**deployment, "spec": {**deployment["spec"], **broken}}, "1.33", strict=True)


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_kustomizations_name_what_is_there(file: Path) -> None:
    """Every resource, component and file is there, and no file is outside its folder, where kustomize does not read."""
    (document,) = documents(file)
    assert document["apiVersion"] == f"kustomize.config.k8s.io/{OF_KUSTOMIZE[document['kind']]}"
    for place in (*document.get("resources", []), *document.get("components", [])):
        found = file.parent / place
        assert found.is_file() or (found / "kustomization.yaml").is_file(), place
    for generator in document.get("configMapGenerator", []):
        assert all(Path(name).name == name and (file.parent / name).is_file() for name in generator["files"])
    named = {file.parent / place for place in document.get("resources", [])}
    assert {found for found in FILES if found.parent == file.parent} <= named


def test_there_is_an_overlay_for_each_phase() -> None:
    """Each phase of the rollout is an overlay, with that phase's file to the byte; `make kubernetes` copies them."""
    assert PHASES
    overlays = {folder.name: folder for folder in (ROOT / "overlays").iterdir()}
    assert sorted(overlays) == [phase.stem for phase in PHASES]
    for phase in PHASES:
        assert (overlays[phase.stem] / "gateway.json").read_bytes() == phase.read_bytes()
    during = Path("config/phases/2.5-migration.json")
    assert (ROOT / "migration/gateway.json").read_bytes() == during.read_bytes()
    assert (ROOT / "migration/migration.json").read_bytes() == Path("config/migration.json").read_bytes()
    for file in (Path("config/rollout.json"), *PHASES):
        assert (ROOT / "rollout" / file.name).read_bytes() == file.read_bytes()


def test_config_maps_keep_their_name() -> None:
    """A ConfigMap of one name for good is swapped under the running pod; a hash in it would start pods anew."""
    for file in KUSTOMIZATIONS:
        (document,) = documents(file)
        if "configMapGenerator" in document:
            assert document["generatorOptions"] == {"disableNameSuffixHash": True}


def test_environment_is_that_of_the_settings() -> None:
    """Every variable of ours is a setting, and together they are settings that the gateway takes."""
    known = {PREFIX + name.upper() for name in Settings.model_fields if name != "dry_run"}
    for _, pod in pods():
        for container in containers(pod):
            assert {name for name in environment(container) if name.startswith(PREFIX)} <= known
    given = {n.removeprefix(PREFIX).lower(): value for n, value in environment(gateway()).items() if value is not None}
    settings = Settings.model_validate(given)
    assert settings.watch_config
    assert settings.admin_host == "0.0.0.0"
    ports = {port["name"]: port["containerPort"] for port in gateway()["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}


def test_files_are_mounted_where_they_are_looked_for() -> None:
    """Configuration and token are in mounted directories, none by subPath, which follows no change."""
    mounts = {mount["name"]: mount for mount in gateway()["volumeMounts"]}
    assert not any("subPath" in mount for mount in mounts.values())
    given = environment(gateway())
    config, token = given["STAGE_GATEWAY_CONFIG"], given["STAGE_GATEWAY_ADMIN_TOKEN_FILE"]
    assert config == f"{mounts['config']['mountPath']}/gateway.json"
    assert token == f"{mounts['admin']['mountPath']}/token"
    for phase in PHASES:
        (document,) = documents(ROOT / "overlays" / phase.stem / "kustomization.yaml")
        pod = only("Deployment", "portfolio")["spec"]["template"]["spec"]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "config"]
        assert document["configMapGenerator"] == [{"name": volume["configMap"]["name"], "files": ["gateway.json"]}]


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.stem)
def test_grace_and_memory_are_in_step_with_the_configuration(phase: Path) -> None:
    """A pod gets the time to drain, the APIs outlive the gateway, and what may be held fits into the memory."""
    limits = load(phase).limits
    pod = only("Deployment", "portfolio")["spec"]["template"]["spec"]
    grace = pod["terminationGracePeriodSeconds"]
    assert grace >= limits.drain_seconds + 5
    for container in pod["containers"]:
        if container["name"] != "stage-gateway":
            assert limits.drain_seconds < container["lifecycle"]["preStop"]["sleep"]["seconds"] < grace
    memory = gateway()["resources"]["limits"]["memory"]
    assert memory.endswith("Mi")
    assert int(memory.removesuffix("Mi")) * 2**20 >= limits.held_bytes + 128 * 2**20


def test_probes_ask_the_admin_port() -> None:
    """Readiness is /readyz, which turns to 503 on SIGTERM; the others ask only whether the process is alive."""
    paths = {
        name: (gateway()[name]["httpGet"]["path"], gateway()[name]["httpGet"]["port"])
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": ("/healthz", "admin"),
        "livenessProbe": ("/healthz", "admin"),
        "readinessProbe": ("/readyz", "admin"),
    }


def test_everything_of_ours_is_locked_down() -> None:
    """No root, no writable root, no capability, no token, no service links."""
    for name, pod in pods():
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            if not container["name"].endswith("-api"):  # those are the user's
                own = {name: value for name, value in container["securityContext"].items() if name != "runAsUser"}
                assert own == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }, container["name"]
                assert container["resources"]["limits"]["memory"], container["name"]


def test_the_admin_port_is_only_for_monitoring() -> None:
    """The Service does not offer it, and the policy lets in the monitoring namespace alone."""
    assert [port["targetPort"] for port in only("Service", "portfolio")["spec"]["ports"]] == ["http"]
    rules = {rule["ports"][0]["port"]: rule for rule in only("NetworkPolicy", "stage-gateway")["spec"]["ingress"]}
    assert "from" not in rules["http"]
    assert rules["admin"]["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]


def test_selectors_meet_pods() -> None:
    """Every selector, also the PodMonitor's, selects a pod of these, and the named ports are there."""
    labels = {json.dumps(d["spec"]["template"]["metadata"]["labels"]) for d in ALL if "template" in d.get("spec", {})}
    monitor = only("PodMonitor", "stage-gateway")["spec"]
    for name in ("portfolio", "stage-gateway-admin", "stage-gateway-redis"):
        assert json.dumps(only("Service", name)["spec"]["selector"]) in labels
    assert json.dumps(monitor["selector"]["matchLabels"]) in labels
    (scraped,) = monitor["podMetricsEndpoints"]
    assert scraped["port"] in {port["name"] for port in gateway()["ports"]}
    assert scraped["honorLabels"] is True


def test_job_is_made_of_commands_that_exist() -> None:
    """The Job runs the migration, then the verifier, on files that are mounted."""
    pod = only("Job", "stage-migration")["spec"]["template"]["spec"]
    run, verify = containers(pod)
    assert run["args"][:2] == ["migrate", "run"]
    assert verify["args"][0] == "verify"
    for container in (run, verify):
        mount = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "config")
        assert f"--spec={mount}/migration.json" in container["args"]
        assert environment(container)["STAGE_GATEWAY_CONFIG"] == f"{mount}/gateway.json"


def _mounted(pod: Document, name: str, claim: str) -> str:
    """Return where a container finds a claim."""
    (container,) = [container for container in containers(pod) if container["name"] == name]
    (volume,) = [v["name"] for v in pod["volumes"] if v.get("persistentVolumeClaim") == {"claimName": claim}]
    (path,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume]
    return str(path)


def test_what_the_job_finds_outlives_it() -> None:
    """List and report are written to a claim, which another pod shows; the page says how to read both, and the logs."""
    job = only("Job", "stage-migration")["spec"]["template"]["spec"]
    claim = only("PersistentVolumeClaim", "stage-migration")["metadata"]["name"]
    run, verify = containers(job)
    place = _mounted(job, "run", claim)
    assert f"--remediation={place}/remediation.ndjson" in run["args"]
    assert f"--output={place}/report.json" in verify["args"]
    assert _mounted(job, "verify", claim) == place
    assert {one["terminationMessagePolicy"] for one in (run, verify)} == {"FallbackToLogsOnError"}
    assert job["securityContext"]["fsGroup"] == 10001
    pod = only("Pod", "stage-migration-results")
    assert _mounted(pod["spec"], "results", claim) == place
    text = (ROOT / "README.md").read_text()
    for name in ("remediation.ndjson", "report.json"):
        assert f"kubectl exec {pod['metadata']['name']} -- cat {place}/{name} > {name}" in text
    for name in (run["name"], verify["name"]):
        assert f"kubectl logs job/stage-migration -c {name}\n" in text


EXEC = re.compile(r"kubectl exec deploy/(\S+) -c (\S+) -- stage-gateway ([^\n`]+)")


@pytest.mark.parametrize("page", [ROOT / "README.md", Path("deploy/runbook.md")], ids=lambda page: page.stem)
def test_modes_are_set_in_a_pod_as_the_page_says(
    page: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line names a pod and a container that are there, and its command does what it says where the pod runs."""
    lines = EXEC.findall(page.read_text())
    assert ["--clear" in arguments for _, _, arguments in lines].count(True) == 1
    token = tmp_path / "token"
    token.write_text("the token of a Secret\n")
    own = {f"{PREFIX}ADMIN_TOKEN_FILE": str(token), f"{PREFIX}ADMIN_HOST": "0.0.0.0"}
    assert environment(gateway())[f"{PREFIX}ADMIN_HOST"] == "0.0.0.0"
    running = serve(json.loads(PHASES[-1].read_text()), own)
    for name, value in {**own, f"{PREFIX}ADMIN_PORT": str(running.admin)}.items():
        monkeypatch.setenv(name, value)
    for deployment, container, arguments in lines:
        pod = only("Deployment", deployment)["spec"]["template"]["spec"]
        assert container in {one["name"] for one in containers(pod)}
        assert main(shlex.split(arguments)) == 0


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.stem)
def test_kustomize_makes_a_phase(phase: Path, tmp_path: Path) -> None:
    """What kustomize makes of an overlay is valid, whole, of this version, and mounts that phase's configuration."""
    made = kustomized(ROOT / "overlays" / phase.stem)
    for document in made:
        if document["kind"] not in UNKNOWN:
            kubernetes_validate.validate(document, "1.33", strict=True)
    names = _names(made)
    others = _names([document for file in FILES if file.parent.name in APART for document in documents(file)])
    assert names >= _names(ALL) - others
    assert f"image: stage-gateway:{__version__}" in yaml.safe_dump_all(made)
    (mounted,) = [document for document in made if document["kind"] == "ConfigMap"]
    file = tmp_path / "gateway.json"
    file.write_text(mounted["data"]["gateway.json"])
    assert load(file).fingerprint == load(phase).fingerprint


def test_kustomize_makes_the_migration() -> None:
    """What kustomize makes of the migration is a valid job of this version, and the files that it mounts."""
    made = {document["kind"]: document for document in kustomized(ROOT / "migration")}
    for document in made.values():
        kubernetes_validate.validate(document, "1.33", strict=True)
    assert made["PersistentVolumeClaim"]["metadata"]["name"] == "stage-migration"
    pod = made["Job"]["spec"]["template"]["spec"]
    assert {one["image"] for one in containers(pod)} == {f"stage-gateway-migration:{__version__}"}
    assert made["ConfigMap"]["metadata"]["name"] in {
        volume.get("configMap", {}).get("name") for volume in pod["volumes"]
    }


def test_kustomize_makes_the_results() -> None:
    """What kustomize makes of the results is a valid pod of this version."""
    (pod,) = kustomized(ROOT / "results")
    kubernetes_validate.validate(pod, "1.33", strict=True)
    assert {one["image"] for one in containers(pod["spec"])} == {f"stage-gateway-migration:{__version__}"}


def test_kustomize_makes_the_rollout() -> None:
    """What kustomize makes of the rollout is valid, of this version, and mounts the plan as the gateways do."""
    made = {document["kind"]: document for document in kustomized(ROOT / "rollout")}
    for document in made.values():
        kubernetes_validate.validate(document, "1.33", strict=True)
    pod = _pod(made["CronJob"])
    assert pod is not None
    step, apply = containers(pod)
    assert step["image"] == f"stage-gateway:{__version__}"
    assert apply["image"].startswith("kubectl:")
    assert made["ConfigMap"]["metadata"]["name"] == "stage-gateway-plan"


def test_plan_is_mounted_as_it_names_its_phases(tmp_path: Path) -> None:
    """Gateways and the Job find the plan and the file of each phase where the plan says, and it loads there."""
    base, job = only("Deployment", "portfolio"), only("CronJob", "stage-gateway-rollout")
    mounted = []
    for document in (base, job):
        pod = _pod(document)
        assert pod is not None
        (volume,) = [volume["configMap"] for volume in pod["volumes"] if volume["name"] == "plan"]
        mounted.append({item["key"]: item["path"] for item in volume["items"]})
    assert mounted[0] == mounted[1]
    for key, place in mounted[0].items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes((ROOT / "rollout" / key).read_bytes())
    step = containers(_pod(job) or {})[0]
    assert environment(gateway())["STAGE_GATEWAY_PLAN"] == environment(step)["STAGE_GATEWAY_PLAN"]
    place = Path(str(environment(step)["STAGE_GATEWAY_PLAN"]))
    assert len(load_plan(tmp_path / place.name).steps) == len(load_plan(Path("config/rollout.json")).steps)


def test_rollout_patches_what_gateways_mount(tmp_path: Path) -> None:
    """The Job may patch just the ConfigMap that the gateways mount, from where it wrote the patch, as one container."""
    pod = _pod(only("CronJob", "stage-gateway-rollout")) or {}
    step, apply = containers(pod)
    output = next(word.removeprefix("--output=") for word in step["args"] if word.startswith("--output="))
    assert f"--patch-file={output}" in apply["args"]
    assert step["args"][:3] == ["rollout", "run", "--once"]
    (rule,) = only("Role", "stage-gateway-rollout")["rules"]
    assert rule["resources"] == ["configmaps"]
    assert rule["resourceNames"] == ["stage-gateway"]
    assert "--configmap=stage-gateway" in step["args"]
    assert apply["args"][:3] == ["patch", "configmap", "stage-gateway"]
    assert [mount["name"] for mount in step["volumeMounts"]].count("account") == 0
    admin = next(word for word in step["args"] if word.startswith("--admin="))
    service = only("Service", "stage-gateway-pods")
    assert admin == f"--admin=dns+http://stage-gateway-pods:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["clusterIP"] == "None"


def test_the_monitor_gives_the_job_that_the_rules_ask_for() -> None:
    """Targets get the job of numbers.toml, without which no alert about missing gateways would ever end."""
    (scraped,) = only("PodMonitor", "stage-gateway")["spec"]["podMetricsEndpoints"]
    job = tomllib.loads(Path("deploy/prometheus/numbers.toml").read_text())["job"]
    assert {"targetLabel": "job", "replacement": job} in scraped["relabelings"]


def test_alertmanager_has_where_to_post() -> None:
    """A Service leads to the admin port, under the name that the README tells Alertmanager."""
    (port,) = only("Service", "stage-gateway-admin")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (Settings.model_fields["admin_port"].default, "admin")
    assert "`stage-gateway-admin`" in (ROOT / "README.md").read_text()


def test_a_service_link_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Service named stage-gateway would set, were there service links, is not taken for the port."""
    monkeypatch.setenv(f"{PREFIX}PORT", "tcp://10.96.0.7:80")
    assert read_settings().port == Settings.model_fields["port"].default
