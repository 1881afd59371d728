"""Cloud Run: golden files, Google's own description of the API, and what the platform leaves no choice about."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import example, given

from portside.targets import cloudrun, cloudrun_limits, dump
from portside.targets.platforms import CloudRun
from portside.targets.spec import Limits, Plain, Probe, Probes, Scaling, Spec
from tests import golden
from tests.targets.deployments import LARGE, SMALL, specs
from tests.targets.validators import QUICK, Ask, asking, parsed, problems

DEPLOYMENTS: Final = {
    "small": replace(
        SMALL, volumes=(), drain_s=5, environment=(*SMALL.environment, Plain("PORTSIDE_ALLOWED_HOSTS", "a.run.app"))
    ),
    "large": replace(LARGE, volumes=(), drain_s=5, scaling=Scaling(1, 10), cloud_run=CloudRun(vpc_connector="inside")),
}


@pytest.fixture(scope="module")
def ask() -> Generator[Ask]:
    with asking() as ask:
        yield ask


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_the_project_is_told_what_it_was_told_before(kind: str) -> None:
    for file in cloudrun.render(DEPLOYMENTS[kind]):
        golden.check(f"cloudrun/{kind}/{file.path.removeprefix('cloudrun/')}", file.text)


@QUICK
@example(DEPLOYMENTS["small"])
@example(DEPLOYMENTS["large"])
@given(specs())
def test_the_api_as_google_describes_it_accepts_every_file(ask: Ask, spec: Spec) -> None:
    assert ask("cloudrun", [file.text for file in cloudrun.render(spec)]) == []


def test_the_description_finds_slips() -> None:
    whole = parsed(cloudrun.service(SMALL))
    whole["metadata"]["annotations"]["run.googleapis.com/cpu-throttling"] = "false"
    whole["spec"]["template"]["spec"]["timeoutSecond"] = 5
    found = problems("cloudrun", [dump.yaml(whole)])
    assert len(found) == 2


def test_one_description_is_what_the_mission_says() -> None:
    whole = parsed(cloudrun.service(DEPLOYMENTS["large"]))
    template = whole["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert whole["metadata"]["annotations"] == {"run.googleapis.com/ingress": "all"}
    assert annotations["run.googleapis.com/execution-environment"] == "gen2"
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert annotations["autoscaling.knative.dev/minScale"] == "1"
    assert annotations["autoscaling.knative.dev/maxScale"] == "10"
    assert (template["spec"]["containerConcurrency"], template["spec"]["timeoutSeconds"]) == (100, 300)
    (container,) = template["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1024Mi"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"


@given(specs())
def test_calls_have_ended_before_an_instance_is_killed(spec: Spec) -> None:
    drain_s = int(variables(spec)["PORTSIDE_DRAIN_TIMEOUT_MS"]["value"]) / 1000
    assert drain_s + 5 <= cloudrun_limits.GRACE_S


@given(specs())
def test_an_answer_takes_no_longer_than_there_is_between_two_questions(spec: Spec) -> None:
    for name in ("startupProbe", "livenessProbe"):
        probe = container_of(spec)[name]
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]
        assert probe["httpGet"]["port"] == container_of(spec)["ports"][0]["containerPort"] == spec.port


@given(specs())
def test_secrets_are_references_to_a_version(spec: Spec) -> None:
    said = variables(spec)
    for one in spec.secrets:
        assert said[one.name]["valueFrom"] == {"secretKeyRef": {"name": f"{spec.name}-{one.name}", "key": "1"}}
    assert len(said) == len(container_of(spec)["env"])


def test_sessions_in_memory_have_one_instance() -> None:
    bounds = [
        parsed(cloudrun.service(spec))["spec"]["template"]["metadata"]["annotations"][
            "autoscaling.knative.dev/maxScale"
        ]
        for spec in (SMALL, replace(SMALL, state="redis"))
    ]
    assert bounds == ["1", "10"]


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_what_can_be_is_not_complained_about(kind: str) -> None:
    assert cloudrun.check(DEPLOYMENTS[kind]) == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (replace(DEPLOYMENTS["large"], volumes=LARGE.volumes), "volumes.data"),
        (replace(DEPLOYMENTS["large"], state="memory"), "state"),
        (replace(DEPLOYMENTS["large"], drain_s=25), "drain_s"),
        (replace(DEPLOYMENTS["large"], domains=()), "domains"),
        (replace(DEPLOYMENTS["large"], cloud_run=CloudRun(cpu=3)), "cloud_run.cpu"),
        (replace(DEPLOYMENTS["large"], cloud_run=CloudRun(memory_mib=256)), "cloud_run.memory_mib"),
        (replace(DEPLOYMENTS["large"], limits=Limits(call_timeout_s=4000)), "limits.call_timeout_s"),
        (replace(DEPLOYMENTS["large"], limits=Limits(concurrency=2000)), "limits.concurrency"),
        (replace(DEPLOYMENTS["large"], scaling=Scaling(5, 2)), "scaling"),
        (replace(DEPLOYMENTS["large"], probes=Probes(startup=Probe("/ready", 0, 10, 3, 25))), "probes.startup"),
        (replace(DEPLOYMENTS["large"], probes=Probes(liveness=Probe("/health", 300, 10, 5))), "probes.liveness"),
    ],
)
def test_a_mistake_is_told_with_its_place(spec: Spec, path: str) -> None:
    assert [one.path for one in cloudrun.check(spec)] == [path]


def test_the_database_is_upgraded_before_requests_go_to_the_new_revision() -> None:
    steps = [str(one) for one in cloudrun.apply(DEPLOYMENTS["large"])]
    assert ["jobs replace" in steps[0], "jobs execute" in steps[1], "services replace" in steps[2]] == [True] * 3
    assert len(cloudrun.apply(DEPLOYMENTS["small"])) == 1
    assert "--min-instances=4" in cloudrun.scale(DEPLOYMENTS["large"], 4).arguments
    assert "--format=json" in cloudrun.status(DEPLOYMENTS["large"]).arguments


def container_of(spec: Spec) -> Any:
    (container,) = parsed(cloudrun.service(spec))["spec"]["template"]["spec"]["containers"]
    return container


def variables(spec: Spec) -> dict[str, Any]:
    return {one["name"]: one for one in container_of(spec)["env"]}
