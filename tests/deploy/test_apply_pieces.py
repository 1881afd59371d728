"""What platforms print of what runs, read as pieces."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from portside.deploy.engines.registry import ENGINES
from portside.deploy.engines.shape import Piece
from tests.deploy.standins import container

KUBERNETES: Final[dict[str, list[object]]] = {
    "items": [
        {
            "kind": "Deployment",
            "metadata": {"name": "weather", "uid": "u1", "labels": {"app.kubernetes.io/component": "server"}},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "weather:2"}]}}},
            "status": {"readyReplicas": 2, "conditions": [{"type": "Available", "status": "True"}]},
        },
        {
            "kind": "Pod",
            "metadata": {"name": "weather-1", "uid": "u2", "labels": {"app.kubernetes.io/component": "server"}},
            "spec": {"containers": [{"name": "server", "image": "weather:2"}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "server",
                        "ready": False,
                        "restartCount": 3,
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                        "lastState": {"terminated": {"exitCode": 4, "reason": "Error"}},
                    }
                ],
            },
        },
        {
            "kind": "Pod",
            "metadata": {"name": "weather-0", "uid": "u3", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": "Running"},
        },
        {
            "kind": "Job",
            "metadata": {"name": "weather-migration-1", "uid": "u4"},
            "status": {
                "conditions": [
                    {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
                ]
            },
        },
        {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "weather", "uid": "u5"}, "status": {"conditions": []}},
    ]
}

ECS_SERVICE: Final[Mapping[str, object]] = {
    "services": [
        {"serviceName": "gone", "status": "INACTIVE"},
        {
            "serviceName": "weather",
            "status": "ACTIVE",
            "desiredCount": 3,
            "runningCount": 1,
            "deployments": [
                {
                    "id": "ecs-svc/2",
                    "status": "PRIMARY",
                    "rolloutState": "FAILED",
                    "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start.",
                },
                {"id": "ecs-svc/1", "status": "ACTIVE", "rolloutState": "COMPLETED"},
            ],
        },
    ]
}

CLOUD_RUN: Final[Sequence[Mapping[str, object]]] = [
    {
        "metadata": {"name": "weather"},
        "spec": {"template": {"spec": {"containers": [{"image": "weather:2"}]}}},
        "status": {
            "conditions": [{"type": "Ready", "status": "False", "message": "Revision weather-2 is not ready"}],
            "latestCreatedRevisionName": "weather-2",
            "traffic": [{"revisionName": "weather-1", "percent": 100}],
        },
    }
]


@pytest.mark.parametrize(
    ("platform", "printed", "pieces"),
    [
        (
            "kubernetes",
            KUBERNETES,
            [
                Piece("server", "deployment/weather", "u1", "2 of 3 ready", is_ready=False, image="weather:2"),
                Piece(
                    "server",
                    "pod/weather-1",
                    "u2",
                    "CrashLoopBackOff",
                    is_ready=False,
                    image="weather:2",
                    trouble="server: CrashLoopBackOff, it ended with code 4 back-off 40s",
                ),
                Piece(
                    "weather-migration-1",
                    "job/weather-migration-1",
                    "u4",
                    "failed",
                    is_ready=False,
                    trouble="weather-migration-1: BackoffLimitExceeded limit",
                ),
            ],
        ),
        (
            "ecs",
            ECS_SERVICE,
            [
                Piece(
                    "weather",
                    "weather",
                    "ecs-svc/2",
                    "1 of 3 tasks run, deployment failed",
                    is_ready=False,
                    trouble="weather: ECS deployment circuit breaker: tasks failed to start.",
                )
            ],
        ),
        (
            "cloudrun",
            CLOUD_RUN,
            [
                Piece(
                    "weather",
                    "weather-1",
                    "weather-2",
                    "Revision weather-2 is not ready",
                    is_ready=False,
                    image="weather:2",
                    trouble="Revision weather-2 is not ready",
                )
            ],
        ),
    ],
)
def test_what_a_platform_prints_becomes_pieces(platform: str, printed: object, pieces: list[Piece]) -> None:
    assert list(ENGINES[platform].pieces(json.dumps(printed))) == pieces


def test_compose_prints_lines_now_and_printed_a_list_once() -> None:
    lines = container("server-1") + container("server-2", state="exited", health="", code=3)
    now = ENGINES["compose"].pieces(lines)
    once = ENGINES["compose"].pieces(f"[{','.join(lines.splitlines())}]")
    assert now == once
    assert [piece.trouble for piece in now] == [None, "server-2 ended with code 3"]
    assert ENGINES["compose"].pieces("") == ()
