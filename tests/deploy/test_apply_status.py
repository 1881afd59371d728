"""`portside deploy status` and `history`: what runs against what was applied, for people and for programs."""

import json
from pathlib import Path

from portside.deploy.engines.registry import ENGINES
from tests.deploy.applying import applied, deploy, project, stand_ins
from tests.deploy.standins import CANARY, SERVICES, StandIns, another_image, container, containers, deployed

__all__ = ["project", "stand_ins"]


def test_what_runs_as_applied_is_said_and_nothing_else(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    out, err = deploy(project, stand_ins, "status")
    first, *lines = out.splitlines()
    assert first.startswith("compose weather: ")
    assert first.rpartition(" by ")[0].endswith("Z")
    assert [line.split()[:2] for line in lines] == [
        ["done" if service == "migration" else "healthy", service] for service in SERVICES
    ]
    assert err == ""


def test_drift_is_told_and_ends_with_5(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    stand_ins.reset()
    some = containers("redis", "postgres", "migration", "server-1", "haproxy")
    other = container("server-2", image="registry.acme.io/weather:1.3.0")
    stand_ins.answer("ps", out=some + other)
    (project / "deploy" / "compose" / "haproxy.cfg").write_text("edited by hand")
    (project / "deploy" / "compose" / "compose.yaml").unlink()
    out, _ = deploy(project, stand_ins, "status", "compose", code=5)
    assert "missing  server-3" in out
    assert "another image  server-2: registry.acme.io/weather:1.3.0" in out
    assert f"changed since it was applied  {project}/deploy/compose/haproxy.cfg" in out
    assert f"changed since it was applied  {project}/deploy/compose/compose.yaml" in out
    (one,) = json.loads(deploy(project, stand_ins, "status", "--json", code=5)[0])
    assert one["is_as_wanted"] is False
    assert (one["missing"], one["other_images"]) == (["server-3"], ["server-2"])
    assert one["changed"] == ["compose/compose.yaml", "compose/haproxy.cfg"]


def test_an_unhealthy_container_ends_with_5(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    stand_ins.reset()
    stand_ins.answer("ps", out=containers(*SERVICES[:-1]) + container("haproxy", health="unhealthy"))
    out, _ = deploy(project, stand_ins, "status", code=5)
    assert "unhealthy  haproxy" in out


def test_what_waits_to_be_applied_is_no_drift(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    out, _ = deploy(project, stand_ins, "status")
    assert f"would change if applied now   {project}/deploy/compose/compose.yaml" in out


def test_a_half_done_apply_is_drift(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    stand_ins.answer("up", code=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", code=6)
    out, _ = deploy(project, stand_ins, "status", code=5)
    assert "left things half done" in out


def test_where_nothing_was_applied_status_ends_with_1(project: Path, stand_ins: StandIns) -> None:
    assert "begin: portside deploy apply" in deploy(project, stand_ins, "status", code=1)[1]
    out, _ = deploy(project, stand_ins, "status", "compose", code=1)
    assert out == "compose weather: nothing was applied\n"


def test_status_looks_wherever_something_was_applied(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("describe-services", out='{"services": []}')
    deploy(project, stand_ins, "apply", "ecs", "--yes")
    applied(project, stand_ins)
    stand_ins.answer("describe-services", out='{"services": []}')
    found = json.loads(deploy(project, stand_ins, "status", "--json", code=5)[0])
    assert [(one["platform"], one["missing"]) for one in found] == [("compose", []), ("ecs", ["weather"])]


def test_the_history_says_who_did_what_and_how_it_ended(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer("up", "server-1", err=f"no such image {CANARY}-JWT_SECRET\n", code=1, times=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    out, _ = deploy(project, stand_ins, "history")
    head, failed, why, good = out.splitlines()
    assert head.split() == ["when", "platform", "place", "image", "release", "by", "outcome", "took"]
    assert "registry.acme.io/weather:1.5.0" in failed
    assert "rolled back to" in failed
    assert why.endswith("no such image ********")
    assert "  applied  " in good
    assert deploy(project, stand_ins, "history", "ecs", "--json")[0] == "[]\n"


def test_a_torn_line_of_the_history_is_told(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    with (project / ".portside" / "history.jsonl").open("ab") as stream:
        stream.write(b'{"event":"star')
    _, err = deploy(project, stand_ins, "history")
    assert "1 lines of it cannot be read" in err


def test_the_description_of_the_tests_is_one_that_can_be_applied_anywhere(project: Path, stand_ins: StandIns) -> None:
    for platform in ENGINES:
        deploy(project, stand_ins, "apply", platform, "--dry-run")
