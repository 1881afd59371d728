"""What one platform would refuse, or could not do, of a description that others take; each with the path of its key."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy import rules
from tests.deploy.describing import changed, loaded, paths

ROLE: Final = "arn:aws:iam::210987654321:user/ann"
PLACE: Final = """
[deploy.ecs]
account = "210987654321"
subnets = ["subnet-0a1b2c3d4e5f60718"]
security_groups = ["sg-0a1b2c3d4e5f60718"]
target_group = "arn:aws:elasticloadbalancing:us-east-1:210987654321:targetgroup/weather/0123456789abcdef"
"""
RUN: Final = '\n[deploy.cloud_run]\nproject = "acme-weather"\n'
OUTSIDE: Final = {
    "state": 'state = "redis"\nredis_outside = true',
    "records": 'records = "postgres"\npostgres_outside = true',
    "public_url": 'public_url = "https://mcp.acme.io"\ndrain_timeout_ms = 5000',
}
CLOUD: Final = changed(OUTSIDE, PLACE + RUN)
"""Nothing is wrong with this one on platforms that run no stores."""


def kubernetes(line: str) -> str:
    return changed({}, f"[deploy.kubernetes]\n{line}")


def ecs(start: str, line: str) -> str:
    """Return the description for ECS with a line of its table replaced, or with one more."""
    lines = PLACE.splitlines()
    kept = [one for one in lines if not one.startswith(start)]
    return changed(OUTSIDE, "\n".join([*kept, line]))


def cloud_run(line: str) -> str:
    return changed(OUTSIDE, f"{RUN}{line}")


def volume(path: str, size: int = 1) -> str:
    return changed({}, f'[[deploy.volumes]]\nname = "media"\npath = "{path}"\nsize_gib = {size}\nshared = true')


MISTAKES: Final = {
    "a namespace that is none": ("kubernetes", kubernetes('namespace = "Weather"'), "deploy.kubernetes.namespace"),
    "a class that is none": ("kubernetes", kubernetes('ingress_class = "Nginx!"'), "deploy.kubernetes.ingress_class"),
    "an issuer that is none": ("kubernetes", kubernetes('issuer = "Let us"'), "deploy.kubernetes.issuer"),
    "a storage class that is none": ("kubernetes", kubernetes('storage_class = ""'), "deploy.kubernetes.storage_class"),
    "a namespace of Prometheus that is none": (
        "kubernetes",
        kubernetes('monitoring_namespace = "a.b"'),
        "deploy.kubernetes.monitoring_namespace",
    ),
    "metrics for the outside": ("kubernetes", kubernetes('paths = ["/metrics"]'), "deploy.kubernetes.paths"),
    "everything for the outside": ("kubernetes", kubernetes('paths = ["/"]'), "deploy.kubernetes.paths"),
    "a path with a query": ("kubernetes", kubernetes('paths = ["/mcp?a=1"]'), "deploy.kubernetes.paths"),
    "a path said twice": ("kubernetes", kubernetes('paths = ["/mcp", "/mcp/"]'), "deploy.kubernetes.paths"),
    "an ingress that is everybody": (
        "kubernetes",
        kubernetes('ingress_addresses = ["0.0.0.0/0"]'),
        "deploy.kubernetes.ingress_addresses",
    ),
    "an ingress that is nobody": (
        "kubernetes",
        kubernetes("ingress_addresses = []"),
        "deploy.kubernetes.ingress_addresses",
    ),
    "a port that is none": ("kubernetes", kubernetes("egress_ports = [70000]"), "deploy.kubernetes.egress_ports"),
    "the latest Redis in a cluster": ("kubernetes", kubernetes('redis = "redis"'), "deploy.kubernetes.redis"),
    "scaling by what nobody counts": (
        "kubernetes",
        changed({}, "[observe]\nmetrics = false\n[deploy.scaling]"),
        "deploy.kubernetes.scales_on_calls",
    ),
    "a PostgreSQL that nobody runs": ("kubernetes", changed({}), "deploy.records"),
    "an account of four digits": ("ecs", ecs("account", 'account = "2109"'), "deploy.ecs.account"),
    "the account of AWS's examples": ("ecs", ecs("account", 'account = "123456789012"'), "deploy.ecs.account"),
    "a region that is none": ("ecs", ecs("region", 'region = "Frankfurt"'), "deploy.ecs.region"),
    "a region of another partition": ("ecs", ecs("region", 'region = "cn-north-1"'), "deploy.ecs.region"),
    "CPU that Fargate has not": ("ecs", ecs("cpu", "cpu = 333"), "deploy.ecs.cpu"),
    "memory that does not go with the CPU": ("ecs", ecs("memory_mib", "memory_mib = 512"), "deploy.ecs.memory_mib"),
    "a subnet that is none": ("ecs", ecs("subnets", 'subnets = ["10.0.0.0/24"]'), "deploy.ecs.subnets"),
    "no network at all": ("ecs", ecs("subnets", "subnets = []"), "deploy.ecs.subnets"),
    "a security group by its name": ("ecs", ecs("sec", 'security_groups = ["web"]'), "deploy.ecs.security_groups"),
    "a user for a role": ("ecs", ecs("task_role", f'task_role = "{ROLE}"'), "deploy.ecs.task_role"),
    "a target group by its name": ("ecs", ecs("target_group", 'target_group = "web"'), "deploy.ecs.target_group"),
    "nobody who balances": ("ecs", ecs("target_group", ""), "deploy.ecs.target_group"),
    "a file system that is none": ("ecs", ecs("file_system", 'file_system = "efs"'), "deploy.ecs.file_system"),
    "a secret's value for its place": ("ecs", ecs("secret", 'secret = "hunter 2"'), "deploy.ecs.secret"),
    "a load balancer that is everybody": (
        "ecs",
        ecs("balancer_addresses", 'balancer_addresses = ["0.0.0.0/0"]'),
        "deploy.ecs.balancer_addresses",
    ),
    "a Redis that nobody runs": ("ecs", changed({"state": 'state = "redis"'}, PLACE), "deploy.redis_outside"),
    "CPUs that Cloud Run has not": ("cloudrun", cloud_run("cpu = 3"), "deploy.cloud_run.cpu"),
    "memory that is too little": ("cloudrun", cloud_run("memory_mib = 128"), "deploy.cloud_run.memory_mib"),
    "a place that is no region": ("cloudrun", cloud_run('region = "europe"'), "deploy.cloud_run.region"),
    "a project that is nobody's": ("cloudrun", changed(OUTSIDE), "deploy.cloud_run.project"),
    "a person for a service account": (
        "cloudrun",
        cloud_run('service_account = "ann@acme.io"'),
        "deploy.cloud_run.service_account",
    ),
    "a connector that is none": ("cloudrun", cloud_run('vpc_connector = "My VPC"'), "deploy.cloud_run.vpc_connector"),
    "a version that is none": ("cloudrun", cloud_run("secret_version = 0"), "deploy.cloud_run.secret_version"),
    "a variable of Cloud Run's": ("cloudrun", changed({"REGION": 'PORT = "80"'}), "deploy.env.PORT"),
    "a start that Cloud Run gives up": (
        "cloudrun",
        changed({}, "[hosting]\nstart_timeout_ms = 300000"),
        "hosting.start_timeout_ms",
    ),
    "calls longer than Cloud Run's": (
        "cloudrun",
        changed({}, "[hosting]\ncall_timeout_ms = 4000000"),
        "hosting.call_timeout_ms",
    ),
    "a folder that no instance keeps": ("cloudrun", volume("/srv/media"), "deploy.volumes.media"),
    "a volume over the server's data": ("compose", volume("/app/data"), "deploy.volumes[0].path"),
    "a volume over everything": ("compose", volume("/app"), "deploy.volumes[0].path"),
    "a volume that leaves its folder": ("compose", volume("/srv/../etc"), "deploy.volumes[0].path"),
    "a volume without room": ("kubernetes", volume("/srv/media", 0), "deploy.volumes[0].size_gib"),
    "a port that HAProxy's page has": (
        "compose",
        changed({}, "[deploy.compose]\nhttp_port = 8404\nstats_port = 9000"),
        "deploy.compose.http_port",
    ),
    "a path for programs": ("image", changed({"REGION": 'PATH = "/bin"'}), "deploy.env.PATH"),
    "a secret home": ("image", changed({"server_sec": 'server_secrets = ["HOME"]'}), "deploy.server_secrets[0]"),
    "a Redis that is not asked": (
        "compose",
        changed({"state": 'state = "memory"\nredis_outside = true', "replicas": "replicas = 1"}),
        "deploy.redis_outside",
    ),
    "a PostgreSQL that is not asked": (
        "compose",
        changed({"records": 'records = "sqlite"\npostgres_outside = true'}),
        "deploy.postgres_outside",
    ),
    "packages of another kind of server": ("image", changed({}, 'packages = ["a==1"]'), "deploy.build.packages"),
    "Node for a Python object": ("image", changed({}, 'node_package = "a@1"'), "deploy.build.node_package"),
    "requirements of a server elsewhere": (
        "image",
        changed({"target": 'target = "https://api.acme.io/mcp"'}),
        "deploy.build.requirements",
    ),
    "a certificate that no image has": (
        "image",
        changed({}, '[upstream]\nca_path = "certs/ca.pem"'),
        "upstream.ca_path",
    ),
    "nothing to watch": ("observability", changed({}, "[observe]\nmetrics = false"), "observe.metrics"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_where_it_was_made(mistake: str, tmp_path: Path) -> None:
    platform, text, path = MISTAKES[mistake]
    assert path in paths(tmp_path, text, [platform])


@pytest.mark.parametrize("platform", ["image", "compose", "kubernetes", "ecs", "cloudrun", "observability"])
def test_nothing_is_wrong_where_everything_is_said(platform: str, tmp_path: Path) -> None:
    assert rules.judge(loaded(tmp_path, CLOUD), platform) == ()


def test_what_may_be_a_secret_is_not_repeated(tmp_path: Path) -> None:
    _, text, path = MISTAKES["a secret's value for its place"]
    (found,) = [one for one in rules.judge(loaded(tmp_path, text), "ecs") if one.path == path]
    assert "hunter" not in found.message
