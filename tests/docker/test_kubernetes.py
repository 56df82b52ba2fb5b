"""The manifests for Kubernetes: right by its schemas, and by what they say of our settings."""

import copy
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import ServiceSettings
from tests.docker.manifests import FOLDER, built, change, containers, sought
from workers.contract import QUEUE_OF, Queue, Task
from workers.figures import NAMED
from workers.settings import WorkerSettings

ROOT = FOLDER.parents[1]
OVERLAYS = ("base", "gpu", "keda")
VERSIONS = ("1.30", "1.33", "1.37")
OBJECTS = {overlay: built(FOLDER / overlay) for overlay in OVERLAYS}
PODS = [
    pytest.param(one, id=f"{overlay}-{one['metadata']['name']}")
    for overlay in OVERLAYS
    for one in OBJECTS[overlay]
    if containers(one)
]
OURS = [param for param in PODS if "broker" not in str(param.id)]
OF_THE_PROCESS = {"MATPROP_QUEUE"}  # what docker/alive.py asks for
SCALED = OBJECTS["keda"]


def pod(one: dict[str, Any]) -> dict[str, Any]:
    return dict(one["spec"]["template"]["spec"])


def only(kind: str, name: str, overlay: str = "base") -> dict[str, Any]:
    [found] = [
        one
        for one in OBJECTS[overlay]
        if (one["kind"], one["metadata"]["name"]) == (kind, f"matprop-{name}")
    ]
    return found


def settings_of(one: dict[str, Any]) -> dict[str, str]:
    """The plain variables of a pod's container."""
    [container] = containers(one)
    shared = [each for each in OBJECTS["base"] if each["kind"] == "ConfigMap"]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        [config] = [
            each for each in shared if each["metadata"]["name"] == source["configMapRef"]["name"]
        ]
        found |= config["data"]
    return found | {
        variable["name"]: str(variable.get("value", "")) for variable in container.get("env", ())
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", ["base", "gpu"])
def test_every_object_is_valid_by_the_schemas(overlay: str, version: str) -> None:
    import kubernetes_validate

    for one in OBJECTS[overlay]:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_refuse_what_is_misspelt_or_of_another_type(version: str) -> None:
    import kubernetes_validate

    for path in ("replicaz", "template/spec/containers/0/livenessProb", "replicas"):
        wrong = copy.deepcopy(only("Deployment", "parse"))
        change(wrong, {"op": "add", "path": f"/spec/{path}", "value": "two"})
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, version, strict=True)


def test_what_scales_is_valid_by_kedas_schema() -> None:
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    for one in SCALED:
        read = ScaledObject.model_validate(one)
        assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == one


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder", OVERLAYS)
def test_kubectl_reads_a_folder_as_these_tests_do(folder: str) -> None:
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {named(one): one for one in yaml.safe_load_all(done.stdout)}
    assert found == {named(one): one for one in OBJECTS[folder]}


def named(one: dict[str, Any]) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_file_of_a_folder_is_used(folder: str) -> None:
    order = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    there = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert there == {name for name in order["resources"] if name.endswith(".yaml")}


@pytest.mark.parametrize("one", PODS)
def test_a_pod_may_do_nothing_it_need_not(one: dict[str, Any]) -> None:
    spec = pod(one)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("one", PODS)
def test_a_pod_tells_its_health_and_its_needs(one: dict[str, Any]) -> None:
    [container] = containers(one)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("one", PODS)
def test_an_image_is_of_a_version(one: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [container] = containers(one)
    name, _, tag = container["image"].rpartition(":")
    assert name
    assert "latest" not in tag
    if name.startswith("matprop-"):
        assert tag.split("-")[0] == version


def test_the_broker_is_that_of_the_composition() -> None:
    composition = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    [container] = containers(only("StatefulSet", "broker"))
    assert container["image"] in composition["services"]["broker"]["image"]


@pytest.mark.parametrize("one", PODS)
def test_selectors_and_budgets_find_the_pods(one: dict[str, Any]) -> None:
    name = one["metadata"]["name"].removeprefix("matprop-")
    labels = one["spec"]["template"]["metadata"]["labels"]
    budget = only("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"]
    for selector in (one["spec"]["selector"]["matchLabels"], budget):
        assert selector.items() <= labels.items()
    assert labels["app.kubernetes.io/part-of"] == "matprop"


@pytest.mark.parametrize("name", ["broker", "service"])
def test_a_service_leads_to_its_pods(name: str) -> None:
    kind = "StatefulSet" if name == "broker" else "Deployment"
    target = only(kind, name)
    selector = only("Service", name)["spec"]["selector"]
    assert selector.items() <= target["spec"]["template"]["metadata"]["labels"].items()
    [port] = only("Service", name)["spec"]["ports"]
    [offered] = containers(target)[0]["ports"]
    assert port.get("targetPort", port["port"]) in (offered["name"], offered["containerPort"])


def test_the_broker_forgets_nothing_and_asks_for_a_password() -> None:
    [container] = containers(only("StatefulSet", "broker"))
    command = " ".join(container["args"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass $(BROKER_PASSWORD)" in command
    claims = only("StatefulSet", "broker")["spec"]["volumeClaimTemplates"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {claims[0]["metadata"]["name"]: "/data"}


@pytest.mark.parametrize("one", OURS)
def test_every_variable_is_a_setting_of_its_process_and_has_a_good_value(
    one: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServiceSettings if one["metadata"]["name"].endswith("service") else WorkerSettings
    found = {
        name: value
        for name, value in settings_of(one).items()
        if name.startswith("MATPROP_") and name not in OF_THE_PROCESS
    }
    shared = set(ServiceSettings.model_fields)
    assert {name.removeprefix("MATPROP_").lower() for name in found} <= shared
    found.pop("MATPROP_ADMIN_KEY", None)  # from a secret
    for name, value in found.items():
        monkeypatch.setenv(name, value.replace("$(BROKER_PASSWORD)", "secret"))
    assert settings().redis_url == "redis://:secret@matprop-broker:6379/0"


@pytest.mark.parametrize("one", OURS)
def test_time_to_end_is_longer_than_what_the_process_gives_itself(one: dict[str, Any]) -> None:
    grace_s = pod(one)["terminationGracePeriodSeconds"]
    said = settings_of(one)
    names = ("GRACE_S", "DRAIN_S", "SHUTDOWN_S")
    assert grace_s >= 15 + sum(float(said.get(f"MATPROP_{name}", 0)) for name in names)


@pytest.mark.parametrize("queue", list(Queue))
def test_every_queue_has_workers(queue: Queue) -> None:
    [container] = containers(only("Deployment", queue))
    assert container["args"][:2] == ["-Q", queue]
    assert settings_of(only("Deployment", queue))["MATPROP_QUEUE"] == queue
    assert container["livenessProbe"]["exec"]["command"] == ["python", "/opt/matprop/alive.py"]


@pytest.mark.parametrize("queue", ["infer", "train"])
def test_on_gpus_a_worker_has_one_and_uses_it(queue: str) -> None:
    worker = only("Deployment", queue, "gpu")
    [container] = containers(worker)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-cuda")
    assert settings_of(worker)["MATPROP_DEVICE"] == "cuda:0"


def test_secrets_are_named_never_told() -> None:
    assert [one["kind"] for one in OBJECTS["base"] if one["kind"] == "Secret"] == []
    known = {"admin-key", "broker-password"}
    for param in PODS:
        for variable in containers(param.values[0])[0].get("env", ()):
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "matprop"
                assert variable["valueFrom"]["secretKeyRef"]["key"] in known
            else:
                assert not re.search("KEY|PASSWORD|SECRET", variable["name"])


def test_how_to_make_the_secret_is_told() -> None:
    told = Path(ROOT / "docs/how-to/kubernetes.md").read_text()
    assert "--from-literal=admin-key=" in told
    assert "--from-literal=broker-password=" in told


@pytest.mark.parametrize("one", SCALED, ids=lambda one: one["metadata"]["name"])
def test_scaling_is_by_figures_that_there_are(one: dict[str, Any]) -> None:
    assert only("Deployment", one["spec"]["scaleTargetRef"]["name"].removeprefix("matprop-"))
    for figure, label, word in sought(one):
        assert NAMED[figure].labels == (label,)
        assert word in {*Queue} if label == "queue" else word in {*Task}


def test_whatever_runs_on_the_training_queue_keeps_its_pod() -> None:
    [train] = [one for one in SCALED if one["metadata"]["name"] == "matprop-train"]
    counted = {word for figure, _, word in sought(train) if figure == "jobs_running"}
    # A search for settings gives its worker back while its trials run.
    assert counted == {task for task, queue in QUEUE_OF.items() if queue is Queue.TRAIN} - {
        Task.TUNE
    }


def test_names_in_a_formula_are_those_of_triggers() -> None:
    [train] = [one for one in SCALED if one["metadata"]["name"] == "matprop-train"]
    formula = train["spec"]["advanced"]["scalingModifiers"]["formula"]
    assert set(formula.split(" + ")) == {trigger["name"] for trigger in train["spec"]["triggers"]}
