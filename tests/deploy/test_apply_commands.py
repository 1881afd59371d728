"""What each platform is told, in order: to bring files into force, to go back, to take a first deployment down."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from portside.deploy import render
from portside.deploy import spec as specs
from portside.deploy.engines.registry import ENGINES
from portside.deploy.engines.shape import Change, Piece, Step
from portside.errors import PortsideError
from tests.deploy.applying import BACK, ECS, MIGRATE, UP
from tests.deploy.describing import changed, loaded


def said(steps: Sequence[Step]) -> list[str]:
    """Return commands as lines; those that may fail in brackets."""
    return [f"({command})" if step.may_fail else str(command) for step in steps for command in step.commands]


def change(
    platform: str,
    folder: Path,
    text: str | None = None,
    *,
    before: Mapping[str, str] | None = None,
    is_first: bool = False,
) -> Change:
    """Return the change from files to those of a description, of the same ones where nothing else is said."""
    spec = specs.spec(loaded(folder, text or changed({}, ECS)), platform)
    after = {file.path: file.text for file in render.PLATFORMS[platform].render(spec)}
    return Change(spec, after if before is None else before, after, Path("/kept"), 300, is_first=is_first)


def test_compose_starts_a_first_deployment_at_once(tmp_path: Path) -> None:
    steps = ENGINES["compose"].apply(change("compose", tmp_path, before={}, is_first=True))
    assert said(steps) == [f"{UP} --remove-orphans"]


def test_compose_replaces_replicas_one_after_the_other(tmp_path: Path) -> None:
    steps = ENGINES["compose"].apply(change("compose", tmp_path))
    assert said(steps) == [
        f"{UP} redis postgres",
        MIGRATE,
        f"{UP} --no-deps server-1",
        f"{UP} --no-deps server-2",
        f"{UP} --no-deps server-3",
        f"{UP} --remove-orphans",
    ]


def test_compose_has_the_proxy_read_another_configuration(tmp_path: Path) -> None:
    one = change("compose", tmp_path)
    other = change("compose", tmp_path, before={**one.before, "compose/haproxy.cfg": "another"})
    reread = ["docker compose -p weather -f compose/compose.yaml restart haproxy", f"{UP} --no-deps haproxy"]
    assert said(ENGINES["compose"].apply(other))[-2:] == reread
    assert said(ENGINES["compose"].restore(other, ())) == [BACK, *reread]


def test_compose_replaces_all_at_once_where_a_network_is_another_one(tmp_path: Path) -> None:
    one = change("compose", tmp_path)
    text = one.before["compose/compose.yaml"]
    other = text.replace("172.30.57.0/24", "172.30.58.0/24")
    assert other != text
    moved = change("compose", tmp_path, before={**one.before, "compose/compose.yaml": other})
    assert said(ENGINES["compose"].apply(moved)) == [f"{UP} --remove-orphans"]


def test_compose_remembers_nothing_and_keeps_volumes(tmp_path: Path) -> None:
    spec = change("compose", tmp_path).spec
    assert ENGINES["compose"].undo(spec, ()) == ()
    (down,) = said(ENGINES["compose"].remove(spec))
    assert down == "docker compose -p weather -f compose/compose.yaml down --remove-orphans"


def test_kubernetes_applies_in_the_order_of_its_page_and_then_removes_what_is_gone(tmp_path: Path) -> None:
    one = change("kubernetes", tmp_path)
    job = next(line.split()[-1] for line in said(ENGINES["kubernetes"].apply(one)) if "job/" in line)
    gone = {"kubernetes/autoscaler.yaml": "x", "kubernetes/volumes.yaml": "x"}
    without = {path: text for path, text in one.before.items() if path != "kubernetes/volumes.yaml"}
    again = Change(one.spec, {**without, **gone}, without, Path("/kept"), 300)
    mine = "app.kubernetes.io/name=weather,app.kubernetes.io/component=migration"
    assert said(ENGINES["kubernetes"].apply(again)) == [
        f"(kubectl delete jobs --namespace weather -l {mine} --field-selector status.successful=0)",
        "kubectl apply -f kubernetes/namespace.yaml",
        "kubectl apply -k kubernetes -l 'app.kubernetes.io/component!=server'",
        f"kubectl wait --namespace weather --for=condition=complete --timeout=900s {job}",
        "kubectl apply -k kubernetes",
        "kubectl rollout status --namespace weather --timeout=900s deployment/weather",
        "kubectl delete --ignore-not-found -f /kept/kubernetes/autoscaler.yaml",
    ]


def test_kubernetes_goes_back_without_another_migration(tmp_path: Path) -> None:
    engine, one = ENGINES["kubernetes"], change("kubernetes", tmp_path)
    rollout = "kubectl rollout status --namespace weather deployment/weather"
    assert said(engine.restore(one, ())) == ["kubectl apply -k kubernetes", rollout]
    assert said(engine.undo(one.spec, ())) == [
        "kubectl rollout undo --namespace weather deployment/weather",
        rollout,
    ]
    (delete,) = said(engine.remove(one.spec))
    assert delete.startswith("kubectl delete --ignore-not-found -f kubernetes/")
    assert "deployment.yaml" in delete
    assert not [kept for kept in ("namespace", "secret", "volumes") if f"/{kept}.yaml" in delete]


def test_ecs_goes_through_its_stack(tmp_path: Path) -> None:
    engine, one = ENGINES["ecs"], change("ecs", tmp_path)
    where = "--region us-east-1 --stack-name weather"
    deploy = (
        f"aws cloudformation deploy {where} --template-file ecs/template.json "
        "--capabilities CAPABILITY_IAM --no-fail-on-empty-changeset"
    )
    stable = "aws ecs wait services-stable --region us-east-1 --cluster main --services weather"
    give_up = [
        f"(aws cloudformation cancel-update-stack {where})",
        f"(aws cloudformation wait stack-rollback-complete {where})",
    ]
    assert said(engine.apply(one)) == [deploy, stable]
    assert said(engine.restore(one, ())) == [*give_up, deploy, stable]
    assert said(engine.undo(one.spec, ())) == [*give_up, stable]
    assert said(engine.remove(one.spec)) == [
        f"aws cloudformation delete-stack {where}",
        f"aws cloudformation wait stack-delete-complete {where}",
    ]


def test_cloud_run_sends_requests_back_before_it_makes_a_former_revision_anew(tmp_path: Path) -> None:
    engine, one = ENGINES["cloudrun"], change("cloudrun", tmp_path)
    where = "--region=us-central1 --project=my-project"
    replace = f"gcloud run services replace cloudrun/service.yaml {where}"
    back = f"gcloud run services update-traffic weather --to-revisions=weather-00007-abc=100 {where}"
    running = (Piece("weather", "weather-00007-abc", "weather-00008-def", "ready", is_ready=True),)
    assert said(engine.apply(one)) == [
        f"gcloud run jobs replace cloudrun/migration.yaml {where}",
        f"gcloud run jobs execute weather-migration --wait {where}",
        replace,
    ]
    assert said(engine.restore(one, running)) == [back, replace]
    assert said(engine.undo(one.spec, running)) == [back]
    assert said(engine.undo(one.spec, ())) == []
    assert said(engine.remove(one.spec)) == [
        f"gcloud run services delete weather --quiet {where}",
        f"(gcloud run jobs delete weather-migration --quiet {where})",
    ]


@pytest.mark.parametrize("platform", ENGINES)
def test_what_is_not_understood_is_named(platform: str) -> None:
    with pytest.raises(PortsideError, match="printed something else than expected"):
        ENGINES[platform].pieces("Unable to connect")


@pytest.mark.parametrize("platform", ENGINES)
def test_commands_name_the_deployment_or_its_files(platform: str, tmp_path: Path) -> None:
    """Two deployments of one account must never touch each other."""
    one = change(platform, tmp_path)
    engine = ENGINES[platform]
    ways = [engine.apply(one), engine.restore(one, ()), engine.undo(one.spec, ()), engine.remove(one.spec)]
    lines = [str(engine.observe(one.spec)), *(line for steps in ways for line in said(steps))]
    named = ("weather", f"{platform}/", f"-k {platform}")
    assert [line for line in lines if not any(name in line for name in named)] == []
