"""What an apply goes back to, and where it must not: other places, other people's files, what is no longer whole."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy.releases import KEPT
from tests.deploy.applying import BACK, ECS, FIRST, ROLL, applied, deploy, project, records, stand_ins
from tests.deploy.describing import changed
from tests.deploy.standins import StandIns, another_image, containers, deployed

__all__ = ["project", "stand_ins"]


def test_what_portside_has_no_record_of_is_never_taken_down(project: Path, stand_ins: StandIns) -> None:
    """Somebody deployed by hand, or the history is on another machine."""
    stand_ins.answer("ps", out=containers())
    stand_ins.answer("up", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=6)
    assert stand_ins.commands == [FIRST]
    assert "no record of" in err
    assert f"not done, in {project / 'deploy'}" in err
    assert records(project, stand_ins)[0]["outcome"] == "failed"


def test_what_failed_is_left_where_that_is_asked_for(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer("up", "server-1", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", "--no-rollback", code=6)
    assert stand_ins.commands == ROLL[:3]
    assert f"portside deploy:   {ROLL[2]}" in err
    out, _ = deploy(project, stand_ins, "apply", "compose", "--dry-run")
    assert "failed: what is in force now is not known" in out


def test_a_rollback_that_fails_says_what_is_left(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer("up", err="the engine is gone\n", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=6)
    assert "not rolled back" in err
    assert f"portside deploy:   {BACK}" in err
    assert records(project, stand_ins)[0]["outcome"] == "failed"


def test_the_same_files_again_are_nothing_to_go_back_to(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    stand_ins.answer("up", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=6)
    assert "the very same" in err


def test_a_file_that_somebody_else_made_is_not_overwritten(project: Path, stand_ins: StandIns) -> None:
    mine = project / "deploy" / "compose" / "compose.yaml"
    mine.write_text("services: {}\n")
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert "not made by portside" in err
    assert mine.read_text() == "services: {}\n"
    deploy(project, stand_ins, "apply", "compose", "--yes", "--force")


def test_files_without_a_comment_are_portsides_own_once_they_were_applied(project: Path, stand_ins: StandIns) -> None:
    """JSON has no comments, and every change of an ECS deployment would need --force."""
    stand_ins.answer("describe-services", out='{"services": [], "failures": []}')
    deploy(project, stand_ins, "apply", "ecs", "--yes")
    deployed(project, changed({"image": 'image = "registry.acme.io/weather:1.5.0"'}, ECS))
    deploy(project, stand_ins, "apply", "ecs", "--yes")
    assert "1.5.0" in (project / "deploy" / "ecs" / "template.json").read_text()


def test_as_many_releases_are_kept_as_is_promised(project: Path, stand_ins: StandIns) -> None:
    for number in range(KEPT + 2):
        deployed(project, another_image(f"2.0.{number}"))
        deploy(project, stand_ins, "apply", "compose", "--yes")
    kept = sorted(one.name for one in (project / ".portside" / "releases").iterdir())
    assert kept == sorted(one["started"]["release"] for one in records(project, stand_ins)[:KEPT])


def test_a_release_that_was_tampered_with_is_not_gone_back_to(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    (file,) = (project / ".portside" / "releases").rglob("compose.yaml")
    file.write_text("services: {}\n")
    deployed(project, another_image())
    out, _ = deploy(project, stand_ins, "apply", "compose", "--dry-run")
    assert "not kept whole any more" in out
    stand_ins.answer("up", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=6)
    assert "is not what was applied" in err


def test_another_place_is_another_deployment(project: Path, stand_ins: StandIns) -> None:
    """A failed apply to a new region must not bring back what runs in another one."""
    stand_ins.answer("describe-services", out='{"services": []}')
    deploy(project, stand_ins, "apply", "ecs", "--yes")
    deployed(project, changed({}, f'{ECS}region = "eu-west-1"'))
    stand_ins.answer("cloudformation", "deploy", code=1)
    deploy(project, stand_ins, "apply", "ecs", "--yes", code=1)
    assert records(project, stand_ins)[0]["outcome"] == "removed"
    assert any("delete-stack --region eu-west-1" in command for command in stand_ins.commands)


NOTHING: Final = {"get": '{"items": []}', "describe-services": '{"services": []}', "list": "[]"}
SERVED: Final = (
    '[{"metadata": {"name": "weather"}, "status": {"conditions": [{"type": "Ready", "status": "True"}], '
    '"traffic": [{"revisionName": "weather-00001", "percent": 100}]}}]'
)


@pytest.mark.parametrize(
    ("platform", "failing", "back"),
    [
        ("kubernetes", ("rollout", "status"), ["kubectl apply -k", "kubectl rollout status"]),
        (
            "ecs",
            ("cloudformation", "deploy"),
            ["aws cloudformation cancel-update-stack", "aws cloudformation deploy", "aws ecs wait"],
        ),
        (
            "cloudrun",
            ("services", "replace"),
            ["gcloud run services update-traffic weather --to-revisions=weather-00001=100", "gcloud run services repl"],
        ),
    ],
)
def test_other_platforms_go_back_to_the_files_before(
    platform: str, failing: tuple[str, ...], back: list[str], project: Path, stand_ins: StandIns
) -> None:
    for look, printed in NOTHING.items():
        stand_ins.answer(look, out=printed)
    deploy(project, stand_ins, "apply", platform, "--yes")
    before = {file: file.read_bytes() for file in (project / "deploy" / platform).glob("[!.]*")}
    stand_ins.reset()
    for look, printed in {**NOTHING, "list": SERVED}.items():
        stand_ins.answer(look, out=printed)
    stand_ins.answer(*failing, code=1, times=1)
    # Nothing to cancel: CloudFormation has gone back by itself.
    stand_ins.answer("cancel-update-stack", err="not in progress\n", code=254)
    deployed(project, changed({"image": 'image = "registry.acme.io/weather:1.5.0"'}, ECS))
    deploy(project, stand_ins, "apply", platform, "--yes", code=1)
    done = [command for command in stand_ins.commands if " logs " not in command and "-events" not in command]
    assert [
        command for command, start in zip(done[-len(back) :], back, strict=True) if not command.startswith(start)
    ] == []
    assert {file: file.read_bytes() for file in before} == before
    assert records(project, stand_ins)[0]["outcome"] == "rolled_back"


def test_what_a_platform_remembers_is_gone_back_to_where_portside_has_no_record(
    project: Path, stand_ins: StandIns
) -> None:
    stand_ins.answer("list", out=SERVED)
    stand_ins.answer("services", "replace", code=1)
    deploy(project, stand_ins, "apply", "cloudrun", "--yes", code=1)
    assert "update-traffic weather --to-revisions=weather-00001=100" in stand_ins.commands[-1]
    assert records(project, stand_ins)[0]["ended"]["back_to"] is None
