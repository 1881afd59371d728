"""Kubernetes: golden files, the schemas of three releases, and what must agree across objects."""

import shutil
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given

from portside.targets import dump
from portside.targets.dump import Tree
from portside.targets.kubernetes import target
from portside.targets.platforms import Kubernetes
from portside.targets.spec import FromSecret, Plain, Resources, Scaling, Spec, Volume
from tests import golden
from tests.targets.deployments import LARGE, SMALL, specs
from tests.targets.validators import QUICK, Ask, asking, parsed, problems

DEPLOYMENTS: Final = {"small": SMALL, "large": LARGE}

KUBECTL = shutil.which("kubectl") or ""


@pytest.fixture(scope="module")
def ask() -> Generator[Ask]:
    with asking() as ask:
        yield ask


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_the_cluster_is_told_what_it_was_told_before(kind: str) -> None:
    for file in target.render(DEPLOYMENTS[kind]):
        golden.check(f"kubernetes/{kind}/{file.path.removeprefix('kubernetes/')}", file.text)


@QUICK
@example(SMALL)
@example(LARGE)
@given(specs())
def test_three_releases_accept_every_object(ask: Ask, spec: Spec) -> None:
    files = [file for file in target.render(spec) if not file.path.endswith("kustomization.yaml")]
    assert ask("kubernetes", [one.text for one in files]) == []


def test_the_schemas_find_a_slip() -> None:
    wrong: Tree = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}
    assert len(problems("kubernetes", [dump.yaml(wrong)])) == 3


# It comes in no package that could be installed here, so nobody is told off for not having it.
@pytest.mark.parametrize("kind", DEPLOYMENTS if KUBECTL else ())
def test_kustomize_builds_the_base(kind: str, tmp_path: Path) -> None:
    for file in target.render(DEPLOYMENTS[kind]):
        (tmp_path / file.path).parent.mkdir(exist_ok=True)
        (tmp_path / file.path).write_text(file.text)
    command = [KUBECTL, "kustomize", str(tmp_path / "kubernetes")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@given(specs())
def test_no_object_is_there_twice_and_all_are_in_one_namespace(spec: Spec) -> None:
    found = objects(spec)
    assert len({(one["kind"], one["metadata"]["name"]) for one in found}) == len(found)
    assert {one["metadata"].get("namespace", "") for one in found} == {"", spec.name}


@given(specs())
def test_selectors_find_the_pods_that_are_meant(spec: Spec) -> None:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in workloads(spec)}
    for one in objects(spec):
        selector = selector_of(one)
        # cert-manager's own pods are nobody's here.
        if selector and one["metadata"]["name"] != f"{spec.name}-issuer":
            matching = [name for name, labels in pods.items() if selector.items() <= labels.items()]
            assert len(matching) == 1, one


@given(specs())
def test_ports_are_those_that_are_listened_on(spec: Spec) -> None:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in workloads(spec)}
    for one in of_kind(spec, "Service"):
        ports = {port["name"] for port in pods[one["metadata"]["name"]]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
    listened = {port["containerPort"] for port in pods[spec.name]["containers"][0]["ports"]}
    assert listened == {int(config(spec)["MCP_PORT"])} == {spec.port}
    for one in of_kind(spec, "Ingress"):
        (service,) = [found for found in of_kind(spec, "Service") if found["metadata"]["name"] == spec.name]
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"]["name"] == service["metadata"]["name"]
                assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]


@given(specs())
def test_calls_have_ended_before_a_pod_is_killed(spec: Spec) -> None:
    pod = server_pod(spec)
    slept = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = int(config(spec)["PORTSIDE_DRAIN_TIMEOUT_MS"]) / 1000
    assert slept + drain_s + 5 <= pod["terminationGracePeriodSeconds"]
    readiness = pod["containers"][0]["readinessProbe"]
    assert slept >= readiness["periodSeconds"]


@given(specs())
def test_traffic_and_start_ask_ready_and_restarts_ask_health(spec: Spec) -> None:
    (container,) = server_pod(spec)["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/ready", "readiness": "/ready", "liveness": "/health"}


@given(specs())
def test_a_secret_is_named_and_its_value_nowhere(spec: Spec) -> None:
    (secret,) = of_kind(spec, "Secret")
    assert "data" not in secret
    assert "stringData" not in secret
    keys = set(secret["metadata"]["annotations"]["portside/keys"].split())
    assert {one.name for one in spec.secrets} <= keys
    for one in workloads(spec):
        pod = one["spec"]["template"]["spec"]
        assert set(used_keys(pod)) <= keys
        assert {name for name in names_of_secrets(pod) if name != f"{spec.name}-tls"} <= {secret["metadata"]["name"]}
    (container,) = server_pod(spec)["containers"]
    assert keys <= {*used_keys(server_pod(spec))}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for name, path in config(spec).items():
        if name.endswith("_FILE"):
            assert path == f"{mounts['secrets']}/{name.removesuffix('_FILE')}"


@given(specs())
def test_every_pod_is_restricted(spec: Spec) -> None:
    for one in workloads(spec):
        pod = one["spec"]["template"]["spec"]
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not container["image"].endswith(":latest")
            assert {"requests", "limits"} <= container["resources"].keys()


@given(specs())
def test_what_is_mounted_is_there_and_nothing_is_mounted_over(spec: Spec) -> None:
    claims = {one["metadata"]["name"] for one in of_kind(spec, "PersistentVolumeClaim")}
    for one in workloads(spec):
        pod = one["spec"]["template"]["spec"]
        volumes = [volume["name"] for volume in pod["volumes"]]
        volumes += [template["metadata"]["name"] for template in one["spec"].get("volumeClaimTemplates", [])]
        mounts = pod["containers"][0]["volumeMounts"]
        assert sorted(mount["name"] for mount in mounts) == sorted(volumes)
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        assert {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if len(volume) > 1 and
                "persistentVolumeClaim" in volume} <= claims  # fmt: skip


@given(specs())
def test_the_network_lets_through_what_talks_to_what(spec: Spec) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(spec, "NetworkPolicy")}
    nothing = policies[f"{spec.name}-nothing"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    out = {port["port"] for rule in policies[spec.name]["egress"] for port in rule["ports"]}
    assert {53, 443} <= out
    assert (6379 in out) is (spec.state == "redis")
    assert (5432 in out) is (spec.records == "postgres")
    if spec.state == "redis" and not spec.redis_outside:
        redis = policies[f"{spec.name}-redis"]
        assert "egress" not in redis
        assert redis["ingress"][0]["from"] == [{"podSelector": policies[spec.name]["podSelector"]}]


def test_metrics_are_not_for_the_outside() -> None:
    (ingress,) = of_kind(LARGE, "Ingress")
    paths = {path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]}
    assert paths == {"/mcp", "/.well-known", "/health", "/ready"}


def test_another_configuration_or_image_is_another_pod_and_another_job() -> None:
    other = replace(LARGE, environment=(*LARGE.environment, Plain("MORE", "1")))
    newer = replace(LARGE, image="registry.example.com/notebook:1.4.3")
    jobs = {of_kind(one, "Job")[0]["metadata"]["name"] for one in (LARGE, other, newer)}
    assert len(jobs) == 3
    templates = [of_kind(one, "Deployment")[0]["spec"]["template"] for one in (LARGE, other)]
    assert templates[0]["metadata"]["annotations"] != templates[1]["metadata"]["annotations"]


def test_an_autoscaler_alone_says_how_many_replicas_there_are() -> None:
    assert "replicas" not in of_kind(LARGE, "Deployment")[0]["spec"]
    assert of_kind(SMALL, "Deployment")[0]["spec"]["replicas"] == 1
    (scaler,) = of_kind(LARGE, "HorizontalPodAutoscaler")
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource", "Resource", "Pods"]


def test_replicas_that_cannot_share_a_volume_do_not_overlap() -> None:
    assert of_kind(SMALL, "Deployment")[0]["spec"]["strategy"] == {"type": "Recreate"}
    rolling = of_kind(LARGE, "Deployment")[0]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


@given(specs())
def test_what_can_be_is_not_complained_about(spec: Spec) -> None:
    assert [one for one in target.check(spec) if one.severity == "error"] == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (replace(SMALL, replicas=3), "volumes.data"),
        (replace(SMALL, scaling=Scaling(1, 2)), "volumes.data"),
        (replace(SMALL, volumes=(Volume("a", "/srv/a"), Volume("b", "/srv/a"))), "volumes.b"),
        (replace(SMALL, volumes=(Volume("a", "/tmp"),)), "volumes.a"),
        (replace(LARGE, scaling=Scaling(5, 2)), "scaling"),
        (replace(LARGE, postgres_outside=False), "records"),
        (replace(LARGE, kubernetes=Kubernetes(paths=("/",))), "kubernetes.paths"),
        (replace(LARGE, kubernetes=Kubernetes(paths=("/metrics/",))), "kubernetes.paths"),
        (replace(LARGE, kubernetes=Kubernetes(ingress_addresses=("0.0.0.0/0",))), "kubernetes.ingress_addresses"),
        (replace(LARGE, kubernetes=Kubernetes(ingress_addresses=("ingress",))), "kubernetes.ingress_addresses"),
        (replace(LARGE, kubernetes=Kubernetes(egress_ports=(0,))), "kubernetes.egress_ports"),
        (replace(LARGE, resources=Resources(cpu_request_m=600)), "resources"),
    ],
)
def test_a_mistake_is_told_with_its_place(spec: Spec, path: str) -> None:
    assert [one.path for one in target.check(spec)] == [path]


def test_the_database_is_upgraded_before_replicas_are_replaced() -> None:
    steps = [str(one) for one in target.apply(LARGE)]
    (job,) = of_kind(LARGE, "Job")
    assert f"job/{job['metadata']['name']}" in steps[2]
    assert steps[3] == "kubectl apply -k kubernetes"
    before = [one for one in objects(LARGE) if one["metadata"]["labels"]["app.kubernetes.io/component"] != "server"]
    assert {one["kind"] for one in before} >= {"Secret", "ConfigMap", "Job", "StatefulSet", "PersistentVolumeClaim"}
    assert len(target.apply(SMALL)) == 4


def test_scaling_by_hand_does_not_fight_the_autoscaler() -> None:
    assert "--replicas=4" in target.scale(SMALL, 4).arguments
    assert '{"spec":{"minReplicas":12,"maxReplicas":12}}' in target.scale(LARGE, 12).arguments
    assert target.status(LARGE).arguments[-1] == "json"


def test_a_secret_of_the_server_itself_is_a_variable() -> None:
    (container,) = server_pod(LARGE)["containers"]
    (token,) = [one for one in container["env"] if one["name"] == "WEATHER_TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "notebook-secrets", "key": "WEATHER_TOKEN"}}
    assert FromSecret("WEATHER_TOKEN", by_file=False) in LARGE.secrets


def objects(spec: Spec) -> list[Any]:
    return [parsed(one) for found in target.documents(spec).values() for one in found]


def of_kind(spec: Spec, kind: str) -> list[Any]:
    return [one for one in objects(spec) if one["kind"] == kind]


def workloads(spec: Spec) -> list[Any]:
    return [one for one in objects(spec) if one["kind"] in ("Deployment", "StatefulSet", "Job")]


def server_pod(spec: Spec) -> Any:
    return of_kind(spec, "Deployment")[0]["spec"]["template"]["spec"]


def config(spec: Spec) -> dict[str, str]:
    return of_kind(spec, "ConfigMap")[0]["data"]


def selector_of(one: Any) -> dict[str, str]:
    """Return the labels an object looks for; none where it looks for nothing or for everything."""
    body: Any = one.get("spec", {})
    if one["kind"] == "Service":
        return body["selector"]
    selector: Any = body.get("podSelector") or body.get("selector")
    return selector.get("matchLabels", {}) if selector else {}


def used_keys(pod: Any) -> Iterator[str]:
    for volume in pod["volumes"]:
        yield from (item["key"] for item in volume.get("secret", {}).get("items", []))
    for variable in pod["containers"][0].get("env", []):
        if "secretKeyRef" in variable["valueFrom"]:
            yield variable["valueFrom"]["secretKeyRef"]["key"]


def names_of_secrets(pod: Any) -> Iterator[str]:
    yield from (volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
    for variable in pod["containers"][0].get("env", []):
        if "secretKeyRef" in variable["valueFrom"]:
            yield variable["valueFrom"]["secretKeyRef"]["name"]
