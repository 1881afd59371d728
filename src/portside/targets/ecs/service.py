"""The service and its autoscaling, in the words of CreateService; their first letters small."""

from typing import Final

from portside.targets.dump import Tree
from portside.targets.spec import Scaling, Spec

DIMENSION: Final = "ecs:service:DesiredCount"


def service(spec: Spec) -> dict[str, Tree]:
    """Return the service: a new task is ready before an old one is told to stop, and a bad one is rolled back."""
    return {
        "cluster": spec.ecs.cluster,
        "serviceName": spec.name,
        "taskDefinition": spec.name,
        **common(spec),
        "deploymentController": {"type": "ECS"},
    }


def common(spec: Spec) -> dict[str, Tree]:
    """Return what creating a service and CloudFormation say in the same words."""
    body: dict[str, Tree] = {
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "schedulingStrategy": "REPLICA",
        "desiredCount": spec.replicas,
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(spec.ecs.subnets),
                "securityGroups": list(spec.ecs.security_groups),
                "assignPublicIp": "DISABLED",
            }
        },
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
        "propagateTags": "SERVICE",
    }
    if spec.ecs.target_group:
        balancer: Tree = {
            "targetGroupArn": spec.ecs.target_group,
            "containerName": "server",
            "containerPort": spec.port,
        }
        body["loadBalancers"] = [balancer]
        startup = spec.probes.startup
        body["healthCheckGracePeriodSeconds"] = startup.delay_s + startup.period_s * startup.failures
    return body


def scalable(spec: Spec, scaling: Scaling) -> dict[str, Tree]:
    """Return what may be scaled, and between which numbers."""
    return {**_scaled(spec), "minCapacity": scaling.minimum, "maxCapacity": scaling.maximum}


def policies(spec: Spec, scaling: Scaling) -> dict[str, dict[str, Tree]]:
    """Return the policies by the word for what each tracks: up when either is over, down when both are under."""
    tracked = {
        "cpu": ("ECSServiceAverageCPUUtilization", scaling.cpu_percent),
        "memory": ("ECSServiceAverageMemoryUtilization", scaling.memory_percent),
    }
    return {
        word: {
            "policyName": f"{spec.name}-{word}",
            **_scaled(spec),
            "policyType": "TargetTrackingScaling",
            "targetTrackingScalingPolicyConfiguration": {
                "targetValue": percent,
                "predefinedMetricSpecification": {"predefinedMetricType": metric},
                "scaleOutCooldown": scaling.up_cooldown_s,
                "scaleInCooldown": scaling.down_cooldown_s,
            },
        }
        for word, (metric, percent) in tracked.items()
    }


def _scaled(spec: Spec) -> dict[str, Tree]:
    return {
        "serviceNamespace": "ecs",
        "resourceId": f"service/{spec.ecs.cluster}/{spec.name}",
        "scalableDimension": DIMENSION,
    }
