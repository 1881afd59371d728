"""Kubernetes: what its probes, graces and numbers add up to, over deployments by chance."""

from typing import Any

from hypothesis import given

from portside.targets.kubernetes import target
from portside.targets.spec import Spec
from tests.targets.deployments import specs
from tests.targets.validators import parsed


@given(specs())
def test_a_replica_is_taken_out_before_it_would_be_started_again(spec: Spec) -> None:
    container = server(spec)
    readiness, liveness = container["readinessProbe"], container["livenessProbe"]
    assert longest_s(readiness) < longest_s(liveness)


@given(specs())
def test_a_start_is_given_as_long_as_it_may_take_before_anything_else_is_asked(spec: Spec) -> None:
    asked = spec.probes.startup
    assert longest_s(server(spec)["startupProbe"]) == asked.delay_s + asked.period_s * asked.failures


@given(specs())
def test_an_answer_may_take_longer_than_the_disk_or_a_collection_but_not_for_ever(spec: Spec) -> None:
    for kind in ("startup", "readiness", "liveness"):
        assert 1 <= server(spec)[f"{kind}Probe"]["timeoutSeconds"] <= 10


@given(specs())
def test_every_probe_asks_the_port_that_the_container_names(spec: Spec) -> None:
    container = server(spec)
    names = {port["name"] for port in container["ports"]}
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")} <= names


@given(specs())
def test_the_autoscaler_acts_before_a_replica_is_full_and_its_bounds_are_in_order(spec: Spec) -> None:
    for scaler in objects(spec, "HorizontalPodAutoscaler"):
        assert 1 <= scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]
        (calls,) = [one["pods"]["target"] for one in scaler["spec"]["metrics"] if one["type"] == "Pods"]
        assert 1 <= int(calls["averageValue"]) <= spec.limits.concurrency
        (deployment,) = objects(spec, "Deployment")
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


@given(specs())
def test_a_roll_never_leaves_fewer_replicas_than_are_wanted_unless_a_volume_forbids_more(spec: Spec) -> None:
    (deployment,) = objects(spec, "Deployment")
    if deployment["spec"]["strategy"]["type"] == "RollingUpdate":
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    else:
        assert any(not volume.shared for volume in spec.volumes)


def longest_s(probe: Any) -> int:
    """Return how long what is asked may be wrong before something is done about it."""
    found: int = probe["initialDelaySeconds"] + probe["periodSeconds"] * probe["failureThreshold"]
    return found


def objects(spec: Spec, kind: str) -> list[Any]:
    return [parsed(one) for found in target.documents(spec).values() for one in found if one["kind"] == kind]


def server(spec: Spec) -> Any:
    return objects(spec, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
