"""The same as one CloudFormation template, which also makes the roles and the log group."""

from collections.abc import Mapping, Sequence
from typing import Final

from portside.targets.dump import Tree
from portside.targets.ecs import service, task
from portside.targets.spec import Scaling, Spec

_FREE: Final = frozenset({"options"})
"""Members whose own keys are no words of CloudFormation's."""


def template(spec: Spec) -> dict[str, Tree]:
    """Return the template. It makes no network and no secret: where those are is said in the description."""
    resources: dict[str, Tree] = {
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"LogGroupName": task.log_group(spec), "RetentionInDays": 30},
        },
        **_roles(spec),
        "Task": {"Type": "AWS::ECS::TaskDefinition", "DependsOn": "Logs", "Properties": _task(spec)},
        "Service": {"Type": "AWS::ECS::Service", "Properties": _service(spec)},
    }
    if spec.scaling is not None:
        resources |= _scaling(spec, spec.scaling)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{spec.name}, an MCP server, on ECS and Fargate.",
        "Resources": resources,
        "Outputs": {"Service": {"Description": "Name of the service", "Value": {"Fn::GetAtt": ["Service", "Name"]}}},
    }


def pascal(tree: Tree) -> Tree:
    """Return a tree in the words of the API as one in those of CloudFormation: the same, but for the first letter."""
    if isinstance(tree, Mapping):
        return {key[0].upper() + key[1:]: value if key in _FREE else pascal(value) for key, value in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [pascal(one) for one in tree]
    return tree


def _roles(spec: Spec) -> dict[str, Tree]:
    """Return the roles that are not said: who starts a task may read its secret, the task itself may do nothing."""
    found: dict[str, Tree] = {}
    if spec.ecs.execution_role is None:
        statement: Tree = {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            # What Secrets Manager appends to a name.
            "Resource": f"{task.secret_arn(spec)}-??????",
        }
        properties: dict[str, Tree] = {
            "AssumeRolePolicyDocument": _TRUST,
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"],
        }
        if task.secrets(spec):
            policy: Tree = {"Version": "2012-10-17", "Statement": [statement]}
            properties["Policies"] = [{"PolicyName": "secrets", "PolicyDocument": policy}]
        found["ExecutionRole"] = {"Type": "AWS::IAM::Role", "Properties": properties}
    if spec.ecs.task_role is None:
        found["TaskRole"] = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": _TRUST}}
    return found


_TRUST: Final[Tree] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def _task(spec: Spec) -> Tree:
    made: dict[str, Tree] = {}
    if spec.ecs.execution_role is None:
        made["ExecutionRoleArn"] = {"Fn::GetAtt": ["ExecutionRole", "Arn"]}
    if spec.ecs.task_role is None:
        made["TaskRoleArn"] = {"Fn::GetAtt": ["TaskRole", "Arn"]}
    words = pascal(task.definition(spec))
    words = {**words, **made} if isinstance(words, Mapping) else words
    return _with_their_names(words)


_NAMES: Final = {"EfsVolumeConfiguration": "EFSVolumeConfiguration", "FileSystemId": "FilesystemId"}
"""Where CloudFormation spells a word of the API otherwise."""


def _with_their_names(tree: Tree) -> Tree:
    if isinstance(tree, Mapping):
        return {_NAMES.get(key, key): _with_their_names(value) for key, value in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [_with_their_names(one) for one in tree]
    return tree


def _service(spec: Spec) -> Tree:
    words = pascal(service.common(spec))
    named: dict[str, Tree] = {
        "Cluster": spec.ecs.cluster,
        "ServiceName": spec.name,
        "TaskDefinition": {"Ref": "Task"},
        **(words if isinstance(words, Mapping) else {}),
    }
    return named


def _scaling(spec: Spec, scaling: Scaling) -> dict[str, Tree]:
    """Return the target and its policies; the target waits for the service, since it is found by its name."""
    properties = pascal(service.scalable(spec, scaling))
    found: dict[str, Tree] = {
        "Scaling": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "DependsOn": "Service",
            "Properties": properties,
        },
    }
    for word, policy in service.policies(spec, scaling).items():
        words = {key: value for key, value in policy.items() if key in ("policyName", "policyType")}
        tracking = policy["targetTrackingScalingPolicyConfiguration"]
        properties = pascal({**words, "targetTrackingScalingPolicyConfiguration": tracking})
        named: Tree = {
            **(properties if isinstance(properties, Mapping) else {}),
            "ScalingTargetId": {"Ref": "Scaling"},
        }
        found[f"Scaling{word.capitalize()}"] = {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": named,
        }
    return found
