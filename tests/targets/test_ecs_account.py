"""ECS: what is rendered, told to an account by AWS's own command line, read back and compared.

The account is emulated: no task ever runs in it, and the scaling of a stack is left out.
"""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from portside.targets.ecs import target, task
from portside.targets.spec import Spec
from tests.targets.deployments import LARGE
from tests.targets.emulator import ACCOUNT, Account, account
from tests.targets.test_ecs import PLACE

SERVICE: Final = ("--cluster", "default", "--services")
FORGOTTEN: Final = {
    # They come back as ARNs, which is looked at by itself.
    "cluster",
    "taskDefinition",
    # The emulator takes these and does not give them back; AWS's own models have looked at them.
    "deploymentConfiguration",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
}
SCALED: Final = ("--service-namespace", "ecs", "--resource-ids", "service/default/notebook")


@pytest.fixture
def emulated() -> Generator[Account]:
    with account() as emulated:
        emulated.ask("ecs", "create-cluster", "--cluster-name", "default")
        yield emulated


@pytest.fixture
def spec(emulated: Account) -> Spec:
    """A deployment in a network of the account's."""
    network = emulated.ask("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = emulated.ask("ec2", "create-subnet", "--vpc-id", network, "--cidr-block", "10.0.1.0/24")
    group = emulated.ask(
        "ec2", "create-security-group", "--vpc-id", network, "--group-name", "mcp", "--description", "mcp"
    )
    place = replace(PLACE, subnets=(subnet["Subnet"]["SubnetId"],), security_groups=(group["GroupId"],))
    spec = replace(LARGE, ecs=replace(place, account=ACCOUNT))
    assert target.check(spec) == ()
    return spec


def test_single_files_make_a_service_that_gets_another_revision_and_is_scaled(
    emulated: Account, spec: Spec, tmp_path: Path
) -> None:
    files = written(spec, tmp_path)
    told(emulated, tmp_path, "ecs", "register-task-definition", "task-definition")
    made = emulated.ask("ecs", "describe-task-definition", "--task-definition", spec.name)["taskDefinition"]
    assert holds(made, files["task-definition"]) == []

    told(emulated, tmp_path, "ecs", "create-service", "service")
    (service,) = emulated.ask("ecs", "describe-services", *SERVICE, spec.name)["services"]
    assert service["taskDefinition"].endswith(f"task-definition/{spec.name}:1")
    named = {key: value for key, value in files["service"].items() if key not in FORGOTTEN}
    assert holds(service, named) == []

    newer = replace(spec, image="registry.example.com/notebook:1.4.3")
    written(newer, tmp_path)
    revised = told(emulated, tmp_path, "ecs", "register-task-definition", "task-definition")["taskDefinition"]
    emulated.ask("ecs", "update-service", "--service", spec.name, "--task-definition", revised["taskDefinitionArn"])
    (service,) = json.loads(emulated.run(target.status(newer).arguments))["services"]
    assert service["taskDefinition"].endswith(f"task-definition/{spec.name}:2")
    assert {one["image"] for one in revised["containerDefinitions"]} == {newer.image}

    by_hand = replace(newer, scaling=None)
    emulated.run(target.scale(by_hand, 5).arguments)
    assert emulated.ask("ecs", "describe-services", *SERVICE, spec.name)["services"][0]["desiredCount"] == 5


def test_scaling_is_registered_as_rendered_and_its_bounds_can_be_moved(
    emulated: Account, spec: Spec, tmp_path: Path
) -> None:
    files = written(spec, tmp_path)
    told(emulated, tmp_path, "ecs", "register-task-definition", "task-definition")
    told(emulated, tmp_path, "ecs", "create-service", "service")
    told(emulated, tmp_path, "application-autoscaling", "register-scalable-target", "scalable-target")
    told(emulated, tmp_path, "application-autoscaling", "put-scaling-policy", "scaling-cpu")
    told(emulated, tmp_path, "application-autoscaling", "put-scaling-policy", "scaling-memory")

    (scaled,) = emulated.ask("application-autoscaling", "describe-scalable-targets", *SCALED)["ScalableTargets"]
    assert holds(scaled, files["scalable-target"]) == []
    policies: list[Any] = emulated.ask(
        "application-autoscaling", "describe-scaling-policies", *SCALED[:2], "--resource-id", SCALED[3]
    )["ScalingPolicies"]
    made = {one["PolicyName"]: one for one in policies}
    assert set(made) == {"notebook-cpu", "notebook-memory"}
    assert holds(made["notebook-cpu"], files["scaling-cpu"]) == []
    assert holds(made["notebook-memory"], files["scaling-memory"]) == []

    emulated.run(target.scale(spec, 4).arguments)
    (scaled,) = emulated.ask("application-autoscaling", "describe-scalable-targets", *SCALED)["ScalableTargets"]
    assert (scaled["MinCapacity"], scaled["MaxCapacity"]) == (4, 10)


def test_every_secret_that_a_task_names_is_found_in_the_one_that_is_told_to_be_made(
    emulated: Account, spec: Spec
) -> None:
    values = {one.name: f"a value of {one.name}" for one in task.secrets(spec)}
    name = f"portside/{spec.name}"
    emulated.ask("secretsmanager", "create-secret", "--name", name, "--secret-string", json.dumps(values))
    definition: Any = json.loads(json.dumps(task.definition(spec)))
    containers: list[Any] = definition["containerDefinitions"]
    asked = {one["name"]: one["valueFrom"] for each in containers for one in each.get("secrets", [])}
    assert set(asked) == set(values)
    for variable, place in asked.items():
        arn, _, rest = place.rpartition(f":{variable}::")
        assert rest == ""
        found = emulated.ask("secretsmanager", "get-secret-value", "--secret-id", arn)
        assert json.loads(found["SecretString"])[variable] == values[variable]


def test_the_stack_is_made_by_the_command_that_applies_it_and_changed_by_it(
    emulated: Account, spec: Spec, tmp_path: Path
) -> None:
    files = written(spec, tmp_path)
    deploy, wait = target.apply(spec)
    emulated.run(deploy.arguments, tmp_path)
    emulated.run(deploy.arguments, tmp_path)
    resources = emulated.ask("cloudformation", "describe-stack-resources", "--stack-name", spec.name)["StackResources"]
    made = {one["LogicalResourceId"]: one for one in resources if "LogicalResourceId" in one}
    wanted: dict[str, Any] = files["template"]["Resources"]
    assert set(made) >= {name for name in wanted if not name.startswith("Scaling")}
    assert {one["ResourceStatus"] for one in made.values()} == {"CREATE_COMPLETE"}
    (service,) = json.loads(emulated.run(target.status(spec).arguments))["services"]
    assert service["desiredCount"] == spec.replicas
    definition = emulated.ask("ecs", "describe-task-definition", "--task-definition", service["taskDefinition"])
    assert [one["name"] for one in definition["taskDefinition"]["containerDefinitions"]] == [
        one["name"] for one in files["task-definition"]["containerDefinitions"]
    ]
    groups = emulated.ask("logs", "describe-log-groups")["logGroups"]
    assert [(one["logGroupName"], one["retentionInDays"]) for one in groups] == [("/ecs/notebook", 30)]

    newer = replace(spec, image="registry.example.com/notebook:1.4.3")
    written(newer, tmp_path)
    emulated.run(deploy.arguments, tmp_path)
    # That the service follows is CloudFormation's own: the emulator changes only what reads otherwise in the template.
    (revised,) = emulated.ask("ecs", "list-task-definitions", "--status", "ACTIVE")["taskDefinitionArns"]
    assert revised.endswith(":2")

    # No task ever runs in the emulator, so only a service of none is stable there.
    emulated.run(target.scale(replace(newer, scaling=None), 0).arguments)
    emulated.run(wait.arguments)


def written(spec: Spec, folder: Path) -> dict[str, Any]:
    """Write what is rendered and return it by name."""
    found: dict[str, Any] = {}
    for file in target.render(spec):
        (folder / file.path).parent.mkdir(exist_ok=True)
        (folder / file.path).write_text(file.text)
        found[file.path.removeprefix("ecs/").removesuffix(".json")] = json.loads(file.text)
    return found


def told(emulated: Account, folder: Path, service: str, operation: str, file: str) -> Any:
    """Tell the account a rendered file, as docs/ecs.md says one does, and return its answer."""
    return emulated.ask(service, operation, "--cli-input-json", f"file://{folder}/ecs/{file}.json")


def holds(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Return where what was read back is not what was told; what came on top of it is the account's own."""
    told = members(wanted)
    if told is None:
        return [] if found == wanted else [f"{path}: {found!r} for {wanted!r}"]
    got = members(found)
    if got is None or (isinstance(wanted, list) and len(got) != len(told)):
        return [f"{path}: {found!r} for {wanted!r}"]
    return [problem for key, one in told.items() for problem in holds(got.get(key), one, f"{path}.{key}")]


def members(tree: Any) -> dict[Any, Any] | None:
    """Return what a tree is made of by name or place, and None for what is made of nothing."""
    if isinstance(tree, dict):
        return dict[Any, Any](tree)  # pyright: ignore[reportUnknownArgumentType]
    return dict(enumerate(list[Any](tree))) if isinstance(tree, list) else None  # pyright: ignore[reportUnknownArgumentType]
