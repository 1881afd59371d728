"""`portside deploy apply` as people run it: the plan, what is done, what is on record, and the way back."""

import json
from pathlib import Path

import pytest

from portside.audit import chain
from portside.audit.base import Stored
from portside.audit.event import decode
from portside.audit.export import sources
from portside.audit.sinks import files
from tests.cli.commands import run
from tests.deploy.applying import BACK, DOWN, FIRST, ROLL, applied, deploy, project, records, stand_ins
from tests.deploy.describing import changed
from tests.deploy.standins import CANARY, StandIns, another_image, container, deployed, ended, running

__all__ = ["project", "stand_ins"]


def test_a_dry_run_shows_the_plan_and_changes_nothing(project: Path, stand_ins: StandIns) -> None:
    out, _ = deploy(project, stand_ins, "apply", "compose", "--dry-run")
    assert FIRST in out
    assert "compose/haproxy.cfg   never applied, not on disk yet" in out
    assert "if that fails: taken down again" in out
    assert stand_ins.commands == []
    assert not (project / ".portside").exists()
    assert not (project / "deploy" / "compose" / "compose.yaml").exists()
    plan = json.loads(deploy(project, stand_ins, "apply", "compose", "--dry-run", "--json")[0])
    assert plan["commands"] == [FIRST.split()]
    assert plan["files"][0] == {"path": "compose/compose.yaml", "on_disk": "new", "applied": "new"}


def test_without_a_terminal_and_without_yes_nothing_is_done(project: Path, stand_ins: StandIns) -> None:
    _, err = deploy(project, stand_ins, "apply", "compose", code=2)
    assert "--yes" in err
    assert stand_ins.calls == []


def test_a_first_apply_renders_runs_and_is_on_record(project: Path, stand_ins: StandIns) -> None:
    out, err = deploy(project, stand_ins, "apply", "compose", "--yes")
    assert stand_ins.commands == [FIRST]
    assert stand_ins.calls[-1].cwd == project / "deploy"
    assert (project / "deploy" / "compose" / "compose.yaml").is_file()
    assert "nothing was applied before" in out
    assert "everything is as described, and healthy" in err
    (one,) = records(project, stand_ins)
    assert (one["outcome"], one["started"]["image"]) == ("applied", "registry.acme.io/weather:1.4.2")
    assert sorted(one["started"]["files"]) == ["compose/compose.yaml", "compose/haproxy.cfg"]
    kept = project / ".portside" / "releases" / one["started"]["release"] / "compose" / "compose.yaml"
    assert kept.read_bytes() == (project / "deploy" / "compose" / "compose.yaml").read_bytes()


def test_a_second_apply_says_that_nothing_has_changed(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    out, _ = deploy(project, stand_ins, "apply", "compose", "--yes")
    assert "compose/compose.yaml  as applied, as on disk" in out
    assert "though no file has changed" in out
    assert stand_ins.commands == ROLL
    assert len({one["started"]["release"] for one in records(project, stand_ins)}) == 1
    assert len(list((project / ".portside" / "releases").iterdir())) == 1


def test_what_fails_is_rolled_back_to_the_very_files_before(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    before = (project / "deploy" / "compose" / "compose.yaml").read_bytes()
    deployed(project, another_image())
    stand_ins.answer("up", "server-2", err=f"manifest unknown, token {CANARY}-JWT_SECRET\n", code=1, times=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert stand_ins.commands == [*ROLL[:4], BACK]
    assert "  | manifest unknown, token ********" in err
    assert "going back to" in err
    assert (project / "deploy" / "compose" / "compose.yaml").read_bytes() == before
    failed, good = records(project, stand_ins)
    assert (failed["outcome"], failed["ended"]["back_to"]) == ("rolled_back", good["started"]["id"])
    assert failed["ended"]["error"].endswith("exit code 1: manifest unknown, token ********")


def test_a_first_one_that_fails_is_taken_down_and_its_data_is_kept(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("up", err="no space left on device\n", code=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert stand_ins.commands == [FIRST, DOWN]
    assert records(project, stand_ins)[0]["outcome"] == "removed"


def test_errors_are_found_before_anything_is_asked(project: Path, stand_ins: StandIns) -> None:
    deployed(project, changed({"image": 'image = "weather:latest"'}))
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=5)
    assert "deploy.image" in err
    assert stand_ins.calls == []
    assert not (project / ".portside").exists()


def test_every_missing_secret_is_named_before_anything_starts(project: Path, stand_ins: StandIns) -> None:
    for name in ("secrets/JWT_SECRET", "certs/tls.pem"):
        (project / "deploy" / "compose" / name).unlink()
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=5)
    assert "compose/secrets/JWT_SECRET: is missing" in err
    assert "compose/certs/tls.pem: is missing" in err
    assert stand_ins.commands == []


def test_a_container_that_ends_again_and_again_is_noticed_before_the_deadline(
    project: Path, stand_ins: StandIns
) -> None:
    stand_ins.answer("ps", times=1)
    stand_ins.answer("ps", out=container("server-1", state="restarting", code=78))
    stand_ins.answer("up", hangs=True)
    stand_ins.answer("logs", out=f"server-1  | cannot start: {CANARY}-ENCRYPTION_KEY\n")
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert "server-1 ended with code 78" in err
    assert "  | server-1  | cannot start: ********" in err
    logs = "docker compose -p weather -f compose/compose.yaml logs --no-color --tail 20 server-1"
    assert stand_ins.commands == [FIRST, logs, DOWN]


def test_a_container_that_is_only_being_replaced_ends_nothing(
    project: Path, stand_ins: StandIns, tmp_path: Path
) -> None:
    """Between its end and its removal a container of the former release is seen as ended, once."""
    stand_ins.answer("ps", times=1)
    stand_ins.answer("ps", out=container("server-1", state="exited", health="", code=137), times=1)
    stand_ins.answer("ps", out=container("server-1", health="starting"))
    stand_ins.answer("up", until=tmp_path / "up")
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        stand_ins.wait_for("ps", times=4)
        (tmp_path / "up").touch()
        code, _, err = ended(process)
    assert code == 0, err


def test_a_container_in_trouble_before_does_not_end_the_apply_that_mends_it(
    project: Path, stand_ins: StandIns, tmp_path: Path
) -> None:
    applied(project, stand_ins)
    stand_ins.reset()
    stand_ins.answer("ps", out=container("server-3", state="restarting", code=1))
    stand_ins.answer("up", "server-1", until=tmp_path / "up")
    deployed(project, another_image())
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        stand_ins.wait_for("ps", times=4)
        (tmp_path / "up").touch()
        code, _, err = ended(process)
    assert code == 0, err
    assert stand_ins.commands == ROLL


@pytest.mark.parametrize(
    ("platform", "looks", "nothing", "words", "back"),
    [
        ("kubernetes", "get", '{"items": []}', ("rollout",), "kubectl delete --ignore-not-found"),
        (
            "ecs",
            "describe-services",
            '{"services": []}',
            ("wait", "services-stable"),
            "aws cloudformation delete-stack",
        ),
        ("cloudrun", "list", "[]", ("services", "replace"), "gcloud run services delete weather"),
    ],
)
def test_other_platforms_are_applied_to_and_taken_down_alike(
    platform: str, looks: str, nothing: str, words: tuple[str, ...], back: str, project: Path, stand_ins: StandIns
) -> None:
    stand_ins.answer(looks, out=nothing)
    deploy(project, stand_ins, "apply", platform, "--yes")
    assert records(project, stand_ins)[0]["outcome"] == "applied"
    (project / ".portside" / "history.jsonl").unlink()
    stand_ins.reset()
    stand_ins.answer(looks, out=nothing)
    stand_ins.answer(*words, err="quota exceeded\n", code=1)
    _, err = deploy(project, stand_ins, "apply", platform, "--yes", code=1)
    assert "quota exceeded" in err
    assert any(command.startswith(back) for command in stand_ins.commands), stand_ins.commands
    assert records(project, stand_ins)[0]["outcome"] == "removed"


def test_an_apply_is_audited_where_an_audit_log_is_kept(project: Path, stand_ins: StandIns, tmp_path: Path) -> None:
    key, log = tmp_path / "key", tmp_path / "log"
    assert run("audit", "init-key", str(key), cwd=project).returncode == 0
    audit = {"PORTSIDE_AUDIT": "file", "PORTSIDE_AUDIT_DIR": str(log), "PORTSIDE_AUDIT_KEY_PATH": str(key)}
    stand_ins.answer("up", times=1)
    stand_ins.answer("up", "server-1", code=1, times=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", environ=audit)
    deployed(project, another_image())
    deploy(project, stand_ins, "apply", "compose", "--yes", code=1, environ=audit)
    rows = [row for row in files.read(sources([log])) if isinstance(row, Stored)]
    # Each apply is a writer of its own, and their names say nothing of their order.
    entries = sorted((chain.decode(row.entry) for row in rows), key=lambda entry: entry.time)
    events = [decode(bytes(entry.event)) for entry in entries if bytes(entry.event)]
    acts = [event for event in events if event.kind == "deploy.apply"]
    assert [event.outcome for event in acts] == ["started", "ok", "started", "error"]
    assert acts[0].details["place"] == "weather"
    assert str(acts[-1].details["error"]).startswith("rolled_back: ")


def test_nothing_is_applied_where_the_audit_log_cannot_be_written(
    project: Path, stand_ins: StandIns, tmp_path: Path
) -> None:
    audit = {"PORTSIDE_AUDIT": "file", "PORTSIDE_AUDIT_KEY_PATH": str(tmp_path / "absent")}
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=3, environ=audit)
    assert "audit log cannot be opened" in err
    assert stand_ins.commands == []
    assert records(project, stand_ins) == []


def test_no_secret_is_kept(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("up", err=f"WEATHER_KEY={CANARY} JWT {CANARY}-JWT_SECRET\n", code=1, times=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", code=1, environ={"JWT_SECRET": f"{CANARY}-JWT_SECRET"})
    deploy(project, stand_ins, "apply", "compose", "--yes")
    written = [file for file in (project / ".portside").rglob("*") if file.is_file()]
    assert len(written) > 3
    assert [file for file in written if CANARY in file.read_text()] == []
