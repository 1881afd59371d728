"""What only one platform wants to be told of a deployment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compose:
    """The network replicas and proxy share, of which each takes fixed addresses; ports of the host; whose images."""

    subnet: str = "172.30.57.0/24"
    http_port: int = 80
    https_port: int = 443
    stats_port: int = 8404
    nginx: str = "nginx:1.28-alpine"
    haproxy: str = "haproxy:3.0-alpine"
    redis: str = "redis:7.4-alpine"
    postgres: str = "postgres:17.6-bookworm"


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """`namespace` is the deployment's name where none is said; the others are where ingress and Prometheus run.

    `ingress_addresses` are the networks that the ingress controller's pods have their addresses in: what they say of a
    client is believed. `paths` are what the ingress lets in, each with all below it. `egress_ports` are TCP ports
    outside that the server may connect to, for identity providers and for what tools call. `scales_on_calls` needs an
    adapter that serves the metric mcp_calls_in_flight to the cluster; without one nothing is ever scaled down.
    """

    namespace: str | None = None
    ingress_class: str = "nginx"
    issuer: str = "letsencrypt-prod"
    storage_class: str | None = None
    ingress_namespace: str = "ingress-nginx"
    monitoring_namespace: str = "monitoring"
    ingress_addresses: tuple[str, ...] = ("10.0.0.0/8",)
    paths: tuple[str, ...] = ("/mcp", "/.well-known", "/health", "/ready")
    egress_ports: tuple[int, ...] = (443,)
    scales_on_calls: bool = True
    redis: str = "redis:7.4-alpine"


@dataclass(frozen=True, slots=True)
class Ecs:
    """Where in an account of AWS. CPU in its units (1024 is one), memory in MiB; only some pairs exist.

    `balancer_addresses` are the networks of the load balancer's subnets: what it says of a client is believed.
    `file_system` is the EFS that volumes are folders of. `secret` is the one in Secrets Manager whose keys are the
    variables; called after the deployment where none is said. Without a `target_group` nothing balances load.
    """

    region: str = "us-east-1"
    account: str = "123456789012"
    cluster: str = "default"
    cpu: int = 512
    memory_mib: int = 1024
    execution_role: str | None = None
    task_role: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    target_group: str | None = None
    balancer_addresses: tuple[str, ...] = ("172.31.0.0/16",)
    file_system: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class CloudRun:
    """Where in a project of Google Cloud, and how large an instance is.

    `secret_version` is which version of every secret is used: a number, so that an old revision keeps what it had.
    """

    region: str = "us-central1"
    project: str = "my-project"
    service_account: str | None = None
    cpu: int = 1
    memory_mib: int = 1024
    vpc_connector: str | None = None
    secret_version: int = 1
