"""AWS ECS on Fargate: what is rendered, how it is applied, and what the platform would not do with it."""

import re
from collections.abc import Iterator
from typing import Final

from portside.command import Command
from portside.targets import dump, variables
from portside.targets.address import is_network
from portside.targets.dump import Tree
from portside.targets.ecs import service, task, template
from portside.targets.file import File, Finding
from portside.targets.spec import Spec

FOLDER: Final = "ecs"

SIZES: Final[dict[int, range]] = {
    256: range(512, 2049, 512),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16_385, 1024),
    4096: range(8192, 30_721, 1024),
    8192: range(16_384, 61_441, 4096),
    16_384: range(32_768, 122_881, 8192),
}
"""MiB of memory that go with each CPU size (Amazon ECS Developer Guide, task size)."""


def render(spec: Spec) -> tuple[File, ...]:
    """Return the template, and the same in single files for the command line."""
    found: dict[str, Tree] = {
        "template": template.template(spec),
        "task-definition": task.definition(spec),
        "service": service.service(spec),
    }
    if spec.scaling is not None:
        # Autoscaling's own API begins its words with capitals, as CloudFormation does.
        found["scalable-target"] = template.pascal(service.scalable(spec, spec.scaling))
        for word, policy in service.policies(spec, spec.scaling).items():
            found[f"scaling-{word}"] = template.pascal(policy)
    return tuple(File(f"{FOLDER}/{name}.json", dump.json_text(tree)) for name, tree in found.items())


def check(spec: Spec) -> tuple[Finding, ...]:
    """Return what ECS would refuse, or could not do, of what is rendered from this description."""
    return (*_names(spec), *_sizes(spec), *_times(spec), *_volumes(spec), *_network(spec))


def apply(spec: Spec) -> tuple[Command, ...]:
    """Return what brings the template into the account that the AWS command line is set to."""
    where = ("--region", spec.ecs.region)
    deploy = ("aws", "cloudformation", "deploy", *where, "--stack-name", spec.name)
    template_file = ("--template-file", f"{FOLDER}/template.json", "--capabilities", "CAPABILITY_IAM")
    wait = ("aws", "ecs", "wait", "services-stable", *where, "--cluster", spec.ecs.cluster, "--services", spec.name)
    return (
        Command((*deploy, *template_file, "--no-fail-on-empty-changeset"), "the stack is as described", 3600),
        Command(wait, "every task is a new one, and healthy", 660),
    )


def scale(spec: Spec, replicas: int) -> Command:
    """Return what sets the number of tasks; where there is autoscaling, the least it may go to."""
    where = ("--region", spec.ecs.region)
    if spec.scaling is None:
        which = ("--cluster", spec.ecs.cluster, "--service", spec.name)
        words = ("aws", "ecs", "update-service", *where, *which, "--desired-count", str(replicas))
        return Command(words, f"{replicas} tasks are wanted")
    bounds = ("--min-capacity", str(replicas), "--max-capacity", str(max(replicas, spec.scaling.maximum)))
    which = ("--service-namespace", "ecs", "--scalable-dimension", service.DIMENSION)
    name = ("--resource-id", f"service/{spec.ecs.cluster}/{spec.name}")
    words = ("aws", "application-autoscaling", "register-scalable-target", *where, *which, *name, *bounds)
    return Command(words, f"at least {replicas} tasks are wanted")


def status(spec: Spec) -> Command:
    """Return what prints the service as JSON."""
    which = ("--region", spec.ecs.region, "--cluster", spec.ecs.cluster, "--services", spec.name)
    return Command(("aws", "ecs", "describe-services", *which, "--output", "json"), "what runs is known")


_NAMES: Final = {
    "region": (r"(?!cn-|us-gov-|us-iso)[a-z]{2}(-[a-z]+)+-[0-9]", "a region such as us-east-1, of AWS's own partition"),
    "account": (r"[0-9]{12}", "the twelve digits of an account"),
    "cluster": (r"[A-Za-z0-9_-]{1,255}", "the name of a cluster"),
    "execution_role": (r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]+", "the ARN of a role"),
    "task_role": (r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]+", "the ARN of a role"),
    "target_group": (
        r"arn:aws:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]+",
        "the ARN of a target group",
    ),
    "file_system": (r"fs-[0-9a-f]{8,40}", "the id of an EFS, fs-…"),
    "secret": (r"[A-Za-z0-9/_+=.@-]{1,505}", "the name of a secret, not its value nor its ARN"),
}
"""What AWS takes, and what was expected: its models say of most of these only that they are text."""

_LISTS: Final = {"subnets": ("subnet", 16), "security_groups": ("sg", 5)}


def _names(spec: Spec) -> Iterator[Finding]:
    for key, (pattern, expected) in _NAMES.items():
        text: str | None = getattr(spec.ecs, key)
        if text is not None and not re.fullmatch(pattern, text, re.ASCII):
            # What is no name of a secret may be the secret itself, so it is not shown.
            shown = "" if key == "secret" else f"{text!r}: "
            yield Finding("error", f"ecs.{key}", f"{shown}expected {expected}")
    for key, (prefix, most) in _LISTS.items():
        ids: tuple[str, ...] = getattr(spec.ecs, key)
        wrong = [one for one in ids if not re.fullmatch(prefix + "-([0-9a-f]{8}|[0-9a-f]{17})", one)]
        if wrong or len(ids) > most or len(set(ids)) < len(ids):
            yield Finding("error", f"ecs.{key}", f"{list(ids)}: expected at most {most} of {prefix}-…, each once")


def _sizes(spec: Spec) -> Iterator[Finding]:
    fits = SIZES.get(spec.ecs.cpu)
    if fits is None:
        yield Finding("error", "ecs.cpu", f"{spec.ecs.cpu}: expected one of {', '.join(map(str, SIZES))}")
    elif spec.ecs.memory_mib not in fits and (spec.ecs.cpu, spec.ecs.memory_mib) != (256, 1024):
        steps = f"{fits.start} to {fits[-1]} in steps of {fits.step}"
        yield Finding("error", "ecs.memory_mib", f"{spec.ecs.memory_mib}: expected {steps} with {spec.ecs.cpu} of CPU")


def _times(spec: Spec) -> Iterator[Finding]:
    if spec.stop_s > task.MAX_STOP_S:
        most = task.MAX_STOP_S - (spec.stop_s - spec.drain_s)
        yield Finding("error", "drain_s", f"{spec.drain_s}: expected at most {most}, since Fargate waits no longer")
    asked = spec.probes.image
    startup = spec.probes.startup
    if not (5 <= asked.period_s <= 300 and asked.timeout_s <= 60 and 1 <= asked.failures <= 10):
        yield Finding("error", "probes.image", f"{asked}: expected 5 to 300 s between, 60 s for, 1 to 10 answers")
    if startup.delay_s + startup.period_s * startup.failures > 300:
        yield Finding("error", "probes.startup", f"{startup}: expected 300 s at most, all questions together")


def _volumes(spec: Spec) -> Iterator[Finding]:
    taken = set(variables.SCRATCH.values())
    for volume in spec.volumes:
        if spec.ecs.file_system is None:
            message = "Fargate keeps no folder by itself: expected ecs.file_system, the id of an EFS"
            yield Finding("error", f"volumes.{volume.name}", message)
        if volume.path in taken:
            message = f"path {volume.path!r}: expected one that nothing else is mounted at"
            yield Finding("error", f"volumes.{volume.name}", message)
        taken.add(volume.path)
    if len(spec.volumes) > 1:
        message = "one file system has one root: expected a single volume"
        yield Finding("error", "volumes", message)


def _network(spec: Spec) -> Iterator[Finding]:
    if not spec.ecs.subnets or not spec.ecs.security_groups:
        yield Finding("error", "ecs.subnets", "tasks need a network: expected subnets and security_groups")
    if not spec.ecs.balancer_addresses:
        message = "is empty: expected the networks of the load balancer's subnets, or every client looks like it"
        yield Finding("error", "ecs.balancer_addresses", message)
    for address in spec.ecs.balancer_addresses:
        if not is_network(address):
            message = f"{address!r}: expected a network such as 172.31.0.0/16, and not everybody"
            yield Finding("error", "ecs.balancer_addresses", message)
    if spec.ecs.target_group is None:
        yield Finding("warning", "ecs.target_group", "nothing balances load, and nobody outside reaches it")
    if spec.scaling is not None and not 1 <= spec.scaling.minimum <= spec.scaling.maximum:
        found = f"minimum {spec.scaling.minimum}, maximum {spec.scaling.maximum}"
        yield Finding("error", "scaling", f"{found}: expected 1 <= minimum <= maximum")
