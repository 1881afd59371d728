"""ECS: golden files, AWS's own models and cfn-lint, and what must agree between files."""

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.targets.ecs import target, task
from portside.targets.platforms import Ecs
from portside.targets.spec import Probe, Probes, Scaling, Spec, Volume
from tests import golden
from tests.targets.deployments import LARGE, SMALL, specs
from tests.targets.validators import BATCH, QUICK, Ask, asking, problems

_BALANCER: Final = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/notebook/0123456789abcdef"
PLACE: Final = Ecs(
    subnets=("subnet-0a1b2c3d4e5f60718",),
    security_groups=("sg-0a1b2c3d4e5f60718",),
    target_group=_BALANCER,
    file_system="fs-0123456789abcdef0",
)
DEPLOYMENTS: Final = {
    "small": replace(SMALL, ecs=replace(PLACE, file_system=None), volumes=()),
    "large": replace(LARGE, ecs=PLACE),
}


def placed(spec: Spec) -> Spec:
    """Return a deployment as ECS can have it: one volume at most."""
    return replace(spec, ecs=PLACE, volumes=spec.volumes[:1])


@pytest.fixture(scope="module")
def ask() -> Generator[Ask]:
    with asking() as ask:
        yield ask


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_the_account_is_told_what_it_was_told_before(kind: str) -> None:
    for file in target.render(DEPLOYMENTS[kind]):
        golden.check(f"ecs/{kind}/{file.path.removeprefix('ecs/')}", file.text)


@QUICK
@example(SMALL)
@example(LARGE)
@given(specs())
def test_the_models_of_aws_accept_every_call(ask: Ask, spec: Spec) -> None:
    files = rendered(placed(spec)).items()
    calls = [json.dumps({"file": file, "input": inputs}) for file, inputs in files if file != "template"]
    assert ask("botocore", calls) == []


def test_the_models_find_a_slip_and_a_word_that_is_none() -> None:
    wrong = {**rendered(DEPLOYMENTS["small"])["task-definition"], "networkMode": "bridged", "famly": "a"}
    found = problems("botocore", [json.dumps({"file": "task-definition", "input": wrong})])
    assert len(found) == 2


@pytest.mark.timeout(100)
@BATCH
@given(st.lists(specs(), min_size=4, max_size=4))
def test_cfn_lint_has_nothing_to_say_about_the_template(ask: Ask, chosen: list[Spec]) -> None:
    # The simplest of deployments are all the same one.
    templates = {json.dumps(rendered(one)["template"]) for one in (*DEPLOYMENTS.values(), *map(placed, chosen))}
    assert ask("cloudformation", templates) == []


@given(specs())
def test_the_template_says_the_same_as_the_single_files(spec: Spec) -> None:
    files = rendered(placed(spec))
    made = files["template"]["Resources"]["Task"]["Properties"]
    (server,) = [one for one in made["ContainerDefinitions"] if one["Name"] == "server"]
    wanted = server_of(files)
    assert {one["Name"]: one["Value"] for one in server["Environment"]} == plain(wanted)
    assert server["StopTimeout"] == wanted["stopTimeout"]
    assert server["LogConfiguration"]["Options"] == wanted["logConfiguration"]["options"]


@given(specs())
def test_calls_have_ended_before_a_task_is_killed(spec: Spec) -> None:
    server = server_of(rendered(placed(spec)))
    drain_s = int(plain(server)["PORTSIDE_DRAIN_TIMEOUT_MS"]) / 1000
    assert drain_s + 5 <= server["stopTimeout"] <= 120


@given(specs())
def test_ports_names_and_volumes_agree(spec: Spec) -> None:
    files = rendered(placed(spec))
    definition, server = files["task-definition"], server_of(files)
    (mapped,) = server["portMappings"]
    (balanced,) = files["service"]["loadBalancers"]
    assert mapped["containerPort"] == balanced["containerPort"] == int(plain(server)["MCP_PORT"]) == spec.port
    assert balanced["containerName"] == server["name"]
    volumes = {one["name"] for one in definition["volumes"]}
    names = [one["name"] for one in definition["containerDefinitions"]]
    for container in definition["containerDefinitions"]:
        assert {one["sourceVolume"] for one in container["mountPoints"]} == volumes
        waits = [one["containerName"] for one in container.get("dependsOn", [])]
        assert all(names.index(one) < names.index(container["name"]) for one in waits)
    if spec.scaling is not None:
        assert files["scalable-target"]["ResourceId"] == f"service/{files['service']['cluster']}/{spec.name}"


@given(specs())
def test_secrets_are_references_and_what_runs_has_no_privilege(spec: Spec) -> None:
    definition = rendered(placed(spec))["task-definition"]
    for container in definition["containerDefinitions"]:
        assert container["readonlyRootFilesystem"] is True
        assert not container["image"].endswith(":latest")
        for one in container.get("secrets", []):
            assert one["valueFrom"] == f"{task.secret_arn(placed(spec))}:{one['name']}::"
        if container["name"] != "folders":
            assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
            assert container["user"] == "1001:1001"
    (server,) = [one for one in definition["containerDefinitions"] if one["name"] == "server"]
    assert {one.name for one in spec.secrets} <= {one["name"] for one in server["secrets"]}
    assert not {one["name"] for one in server["secrets"]} & plain(server).keys()


def test_one_description_is_what_the_mission_says() -> None:
    definition = rendered(DEPLOYMENTS["small"])["task-definition"]
    assert (definition["cpu"], definition["memory"], definition["networkMode"]) == ("512", "1024", "awsvpc")
    health = server_of(rendered(DEPLOYMENTS["small"]))["healthCheck"]
    assert (health["interval"], health["timeout"], health["retries"]) == (30, 5, 3)
    policies = [rendered(DEPLOYMENTS["large"])[f"scaling-{word}"] for word in ("cpu", "memory")]
    tracked = [one["TargetTrackingScalingPolicyConfiguration"] for one in policies]
    assert [one["TargetValue"] for one in tracked] == [70, 80]
    assert {(one["ScaleOutCooldown"], one["ScaleInCooldown"]) for one in tracked} == {(300, 600)}


@given(specs())
def test_what_can_be_is_not_complained_about(spec: Spec) -> None:
    assert target.check(placed(spec)) == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (replace(DEPLOYMENTS["large"], ecs=replace(PLACE, cpu=333)), "ecs.cpu"),
        (replace(DEPLOYMENTS["large"], ecs=replace(PLACE, memory_mib=512)), "ecs.memory_mib"),
        (replace(DEPLOYMENTS["large"], ecs=replace(PLACE, subnets=())), "ecs.subnets"),
        (replace(DEPLOYMENTS["large"], ecs=replace(PLACE, target_group=None)), "ecs.target_group"),
        (replace(DEPLOYMENTS["large"], ecs=replace(PLACE, file_system=None)), "volumes.data"),
        (replace(DEPLOYMENTS["large"], volumes=(Volume("a", "/tmp"),)), "volumes.a"),
        (replace(DEPLOYMENTS["large"], volumes=(Volume("a", "/srv/a"), Volume("b", "/srv/b"))), "volumes"),
        (replace(DEPLOYMENTS["large"], drain_s=106), "drain_s"),
        (replace(DEPLOYMENTS["large"], scaling=Scaling(5, 2)), "scaling"),
        (replace(DEPLOYMENTS["large"], probes=Probes(image=Probe("/health", 5, 1, 3))), "probes.image"),
        (replace(DEPLOYMENTS["large"], probes=Probes(startup=Probe("/ready", 0, 10, 3, 31))), "probes.startup"),
    ],
)
def test_a_mistake_is_told_with_its_place(spec: Spec, path: str) -> None:
    assert [one.path for one in target.check(spec)] == [path]


def test_scaling_by_hand_does_not_fight_the_autoscaler() -> None:
    assert target.scale(DEPLOYMENTS["small"], 4).arguments[:3] == ("aws", "ecs", "update-service")
    assert target.scale(DEPLOYMENTS["large"], 4).arguments[-4:] == ("--min-capacity", "4", "--max-capacity", "10")
    assert [step.arguments[1] for step in target.apply(DEPLOYMENTS["large"])] == ["cloudformation", "ecs"]
    assert "describe-services" in target.status(DEPLOYMENTS["large"]).arguments


def rendered(spec: Spec) -> dict[str, Any]:
    files = target.render(spec)
    return {one.path.removeprefix("ecs/").removesuffix(".json"): json.loads(one.text) for one in files}


def server_of(files: dict[str, Any]) -> Any:
    (server,) = [one for one in files["task-definition"]["containerDefinitions"] if one["name"] == "server"]
    return server


def plain(container: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["environment"]}
