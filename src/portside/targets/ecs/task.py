"""The task definition, in the words of RegisterTaskDefinition: the server, and what has to end before it starts."""

from typing import Final

from portside.targets import probe, variables
from portside.targets.dump import Tree
from portside.targets.spec import UID, FromSecret, Spec, Volume

MAX_STOP_S: Final = 120
"""The longest Fargate waits between SIGTERM and SIGKILL."""

TIMEOUT_S: Final = 5
"""How long ECS waits for the container's own health check."""


def definition(spec: Spec) -> dict[str, Tree]:
    """Return the task definition. Everything in it is by name: a role, a secret, a file system, never a value."""
    return {
        "family": spec.name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
        "cpu": str(spec.ecs.cpu),
        "memory": str(spec.ecs.memory_mib),
        "executionRoleArn": spec.ecs.execution_role or _role(spec, "ecsTaskExecutionRole"),
        "taskRoleArn": spec.ecs.task_role or _role(spec, f"{spec.name}-task"),
        "containerDefinitions": _containers(spec),
        "volumes": [*({"name": name} for name in _scratch(spec)), *(_volume(spec, one) for one in spec.volumes)],
    }


def secret_arn(spec: Spec) -> str:
    """Return the ARN of the secret, without the six letters that Secrets Manager appends and does not insist on."""
    name = spec.ecs.secret or f"portside/{spec.name}"
    return f"arn:aws:secretsmanager:{spec.ecs.region}:{spec.ecs.account}:secret:{name}"


def log_group(spec: Spec) -> str:
    """Return the log group that every container writes to."""
    return f"/ecs/{spec.name}"


def secrets(spec: Spec) -> tuple[FromSecret, ...]:
    """Return what the secret must hold, each under the name of its variable."""
    return variables.secrets(spec, runs_redis=False)


def _role(spec: Spec, name: str) -> str:
    return f"arn:aws:iam::{spec.ecs.account}:role/{name}"


def _containers(spec: Spec) -> list[Tree]:
    before: list[Tree] = [_folders(spec)]
    if spec.records == "postgres":
        before.append(_migration(spec))
    return [*before, _server(spec, [one for one in ("folders", "migration") if one == "folders" or len(before) > 1])]


def _folders(spec: Spec) -> dict[str, Tree]:
    """Return what gives the writable folders to the server's user: Fargate mounts them as root's."""
    # The one capability that this takes; Fargate cannot add one to none.
    kept_out: list[Tree] = [
        "AUDIT_WRITE", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    ]  # fmt: skip
    return {
        **_container(spec, "folders"),
        "essential": False,
        "user": "0:0",
        "command": ["chown", f"{UID}:{UID}", *_mounted(spec).values()],
        "linuxParameters": {"capabilities": {"drop": kept_out}},
    }


def _migration(spec: Spec) -> dict[str, Tree]:
    """Return what brings the database to this version's schema; several may do so at once."""
    return {
        **_container(spec, "migration"),
        **_variables(spec),
        "essential": False,
        "user": f"{UID}:{UID}",
        "command": ["portside", "db", "upgrade"],
        "dependsOn": [{"containerName": "folders", "condition": "SUCCESS"}],
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
    }


def _server(spec: Spec, before: list[str]) -> dict[str, Tree]:
    asked = spec.probes.image
    return {
        **_container(spec, "server"),
        **_variables(spec),
        "essential": True,
        "user": f"{UID}:{UID}",
        "portMappings": [{"name": "mcp", "containerPort": spec.port, "protocol": "tcp", "appProtocol": "http"}],
        "dependsOn": [{"containerName": name, "condition": "SUCCESS"} for name in before],
        "healthCheck": {
            "command": ["CMD", *probe.COMMAND],
            "interval": asked.period_s,
            "timeout": max(TIMEOUT_S, asked.timeout_s),
            "retries": asked.failures,
            "startPeriod": spec.probes.startup.delay_s + spec.probes.startup.period_s * spec.probes.startup.failures,
        },
        "stopTimeout": spec.stop_s,
        "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
    }


def _container(spec: Spec, name: str) -> dict[str, Tree]:
    options: Tree = {
        "awslogs-group": log_group(spec),
        "awslogs-region": spec.ecs.region,
        "awslogs-stream-prefix": name,
        # A log that does not go must not stop a server.
        "mode": "non-blocking",
        "max-buffer-size": "4m",
    }
    return {
        "name": name,
        "image": spec.image,
        "readonlyRootFilesystem": True,
        "mountPoints": [
            {"sourceVolume": volume, "containerPath": path, "readOnly": False}
            for volume, path in _mounted(spec).items()
        ],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }


def _variables(spec: Spec) -> dict[str, Tree]:
    added = {"PORTSIDE_TRUSTED_PROXIES": ",".join(spec.ecs.balancer_addresses)}
    arn = secret_arn(spec)
    return {
        "environment": [{"name": name, "value": value} for name, value in variables.plain(spec, added).items()],
        "secrets": [{"name": one.name, "valueFrom": f"{arn}:{one.name}::"} for one in secrets(spec)],
    }


def _scratch(spec: Spec) -> dict[str, str]:
    """Return the folders that end with the task, by the name of their volume."""
    folders = {**variables.SCRATCH, "scratch": variables.data_folder(spec)}
    kept = {volume.path for volume in spec.volumes}
    return {name: path for name, path in folders.items() if path not in kept}


def _mounted(spec: Spec) -> dict[str, str]:
    return {**_scratch(spec), **{_name(volume): volume.path for volume in spec.volumes}}


def _name(volume: Volume) -> str:
    return f"volume-{volume.name}"


def _volume(spec: Spec, volume: Volume) -> Tree:
    system: Tree = {
        "fileSystemId": spec.ecs.file_system or "",
        "rootDirectory": "/",
        "transitEncryption": "ENABLED",
    }
    return {"name": _name(volume), "efsVolumeConfiguration": system}
